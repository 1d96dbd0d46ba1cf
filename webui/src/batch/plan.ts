/** A batch as plain values: which jobs it takes, and how far they are. */

import type { ImageInfo, Job } from "../api/types.ts";
import { isOpen } from "../jobs/change.ts";

export interface Task {
  prompt: string;
  seed: number; // -1: drawn by the server
  count: number;
}

export const SEEDS = { min: 1, max: 100, step: 1 }; // of each prompt

/** One prompt a line; empty lines are none. */
export function promptsOf(text: string): string[] {
  return text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== "");
}

/** `seeds` pictures of each prompt, in jobs of at most `most`; the same seeds for every prompt. */
export function tasksOf(
  prompts: readonly string[],
  seeds: number,
  seed: number,
  most: number,
): Task[] {
  return prompts.flatMap((prompt) => {
    const tasks: Task[] = [];
    for (let done = 0; done < seeds; done += most) {
      const count = Math.min(most, seeds - done);
      tasks.push({ prompt, seed: seed < 0 ? -1 : seed + done, count });
    }
    return tasks;
  });
}

export interface Tally {
  pictures: number; // asked for
  made: number;
  lost: number; // of jobs that failed or were cancelled, or were never taken
  over: boolean;
  images: readonly ImageInfo[];
}

/** How far a batch is. `jobs[i]` is task i's: null not asked for yet, "refused" never to be. */
export function tally(tasks: readonly Task[], jobs: readonly (Job | "refused" | null)[]): Tally {
  let made = 0;
  let lost = 0;
  const images: ImageInfo[] = [];
  tasks.forEach((task, index) => {
    const job = jobs[index] ?? null;
    if (job === "refused") lost += task.count;
    if (job === null || job === "refused") return;
    made += job.images.length;
    images.push(...job.images);
    if (!isOpen(job)) lost += Math.max(0, task.count - job.images.length);
  });
  const pictures = tasks.reduce((sum, task) => sum + task.count, 0);
  return { pictures, made, lost, over: made + lost >= pictures, images };
}
