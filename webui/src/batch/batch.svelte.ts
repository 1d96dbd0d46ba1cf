/** The batch that this browser runs: its jobs are the server's, its list survives a reload. */

import { Failure, sentence } from "../api/failure.ts";
import type { Job } from "../api/types.ts";
import { type Recipe, toRequest } from "../generate/recipe.ts";
import { freshKey, jobs } from "../jobs/jobs.svelte.ts";
import { texts } from "../text/texts.ts";
import { type Task, tally } from "./plan.ts";

const t = texts({
  deleted: { en: "its pictures were deleted", zh: "其图片已被删除" },
});

const KEY = "mezzotint.batch";
const FULL_MS = 1500; // between two tries while the queue is full
const AWAY_MS = 3000; // between two while the server does not answer
const PRIORITY = -1; // single pictures go before a batch

interface Stored {
  key: string; // with the task's number it is the Idempotency-Key: no task is ever run twice
  recipe: Recipe;
  tasks: Task[];
  ids: (string | null)[]; // jobs by task; null: not asked for yet
  refusals: Record<number, string>;
  stopped: boolean;
}

class Batch {
  stored = $state<Stored | null>(remembered());
  waiting = $state(false); // for room in the queue

  private running = false;

  /** Its jobs, as far as they have been asked for. */
  readonly ids: ReadonlySet<string> = $derived(
    new Set(this.stored?.ids.filter((id) => id !== null) ?? []),
  );

  readonly tally = $derived.by(() => {
    const { stored } = this;
    if (stored === null) return null;
    const byId = new Map<string, Job>(jobs.list.map((job) => [job.id, job]));
    const found = stored.tasks.map((_, index) => {
      const id = stored.ids[index];
      if (id) return byId.get(id) ?? null;
      return stored.stopped || index in stored.refusals ? ("refused" as const) : null;
    });
    return tally(stored.tasks, found);
  });

  start(recipe: Recipe, tasks: Task[]): void {
    this.stored = {
      key: freshKey(),
      recipe,
      tasks,
      ids: tasks.map(() => null),
      refusals: {},
      stopped: false,
    };
    void this.run();
  }

  /** Go on with what a reload interrupted; to be called once, when the server is there. */
  async resume(): Promise<void> {
    const { stored } = this;
    if (stored === null) return;
    for (const [index, id] of stored.ids.entries()) {
      if (id === null || (await jobs.has(id))) continue;
      stored.ids[index] = null;
      stored.refusals[index] = t.deleted;
    }
    await this.run();
  }

  /** Ask for nothing more, and cancel what was asked for. */
  async stop(): Promise<void> {
    const { stored } = this;
    if (stored === null) return;
    stored.stopped = true;
    this.save();
    const open = new Set(jobs.open.map((job) => job.id));
    await Promise.all(stored.ids.map((id) => (id && open.has(id) ? jobs.cancel(id) : null)));
  }

  /** Take it off the page; its pictures stay in the gallery. */
  dismiss(): void {
    this.stored = null;
    this.save();
  }

  private async run(): Promise<void> {
    const { stored } = this;
    if (stored === null || this.running) return;
    this.running = true;
    this.save();
    for (let index = 0; index < stored.tasks.length; ) {
      if (stored.stopped || this.stored !== stored) break;
      const done = stored.ids[index] !== null || index in stored.refusals;
      if (done || (await this.ask(stored, index))) index += 1;
    }
    this.waiting = false;
    this.running = false;
  }

  /** Ask for one task. -> false: to be tried again. */
  private async ask(stored: Stored, index: number): Promise<boolean> {
    const task = stored.tasks[index] as Task;
    const recipe = { ...stored.recipe, prompt: task.prompt, seed: task.seed, count: task.count };
    try {
      const call = { ...toRequest(recipe), priority: PRIORITY };
      stored.ids[index] = (await jobs.submit(call, `${stored.key}-${index}`)).id;
      this.waiting = false;
    } catch (error) {
      const status = error instanceof Failure ? error.status : 500;
      if (status === 429 || status === 503 || status === 0) {
        this.waiting = status === 429;
        await new Promise((done) => setTimeout(done, status === 429 ? FULL_MS : AWAY_MS));
        return false;
      }
      stored.refusals[index] = sentence(error);
    }
    this.save();
    return true;
  }

  private save(): void {
    if (this.stored === null) localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, JSON.stringify(this.stored));
  }
}

function remembered(): Stored | null {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "null") as Stored | null;
  } catch {
    return null;
  }
}

export const batch = new Batch();
