/** A batch as plain values: which jobs it takes, and how far they are. */

import type { ImageInfo, Job } from "../api/types.ts";
import { isOpen } from "../jobs/change.ts";

export interface Prompt {
  text: string;
  line: number; // of what was written, from 1: empty lines count
}

export interface Task {
  prompt: string;
  line?: number; // of its prompt; a batch that an older page began has none
  seed: number; // -1: drawn by the server
  count: number;
}

export const SEEDS = { min: 1, max: 100, step: 1 }; // of each prompt

/** One prompt a line; empty lines are none. */
export function promptsOf(text: string): Prompt[] {
  return text
    .split(/\r?\n/)
    .map((line, index) => ({ text: line.trim(), line: index + 1 }))
    .filter((prompt) => prompt.text !== "");
}

/** `seeds` pictures of each prompt, in jobs of at most `most`; the same seeds for every prompt. */
export function tasksOf(
  prompts: readonly Prompt[],
  seeds: number,
  seed: number,
  most: number,
): Task[] {
  return prompts.flatMap(({ text, line }) => {
    const tasks: Task[] = [];
    for (let done = 0; done < seeds; done += most) {
      const count = Math.min(most, seeds - done);
      tasks.push({ prompt: text, line, seed: seed < 0 ? -1 : seed + done, count });
    }
    return tasks;
  });
}

export interface Tally {
  pictures: number; // asked for
  made: number;
  inLine: number; // of jobs that wait for their turn
  lost: number; // of jobs that failed or were cancelled, or were never taken
  over: boolean;
  images: readonly ImageInfo[];
}

/** How far a batch is. `jobs[i]` is task i's: null not asked for yet, "refused" never to be. */
export function tally(tasks: readonly Task[], jobs: readonly (Job | "refused" | null)[]): Tally {
  let made = 0;
  let lost = 0;
  let inLine = 0;
  const images: ImageInfo[] = [];
  tasks.forEach((task, index) => {
    const job = jobs[index] ?? null;
    if (job === "refused") lost += task.count;
    if (job === null || job === "refused") return;
    made += job.images.length;
    images.push(...job.images);
    if (job.state === "queued") inLine += task.count - job.images.length;
    if (!isOpen(job)) lost += Math.max(0, task.count - job.images.length);
  });
  const pictures = tasks.reduce((sum, task) => sum + task.count, 0);
  return { pictures, made, inLine, lost, over: made + lost >= pictures, images };
}

export interface Refusal {
  line: number;
  reason: string;
}

/** Why lines were refused, each line's reason once however many tasks it makes. */
export function refusedLines(
  tasks: readonly Task[],
  reasons: Readonly<Record<number, string>>,
): Refusal[] {
  const found = new Map<string, Refusal>();
  for (const [index, reason] of Object.entries(reasons)) {
    const line = tasks[Number(index)]?.line ?? Number(index) + 1;
    found.set(`${line} ${reason}`, { line, reason });
  }
  return [...found.values()];
}
