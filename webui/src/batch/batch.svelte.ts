/** The batch that this browser runs: its jobs are the server's, its list survives a reload. */

import { Failure, sentence } from "../api/failure.ts";
import type { Job } from "../api/types.ts";
import { type Recipe, toRequest } from "../generate/recipe.ts";
import { freshKey, jobs } from "../jobs/jobs.svelte.ts";
import { keep, recall } from "../kept.ts";
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
  stored = $state<Stored | null>(parsed(recall(KEY)));
  waiting = $state(false); // for room in the queue

  private running: Stored | null = null;

  constructor() {
    addEventListener("storage", (event) => {
      if (event.key === KEY) this.hear(event.newValue);
    });
  }

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

  /** Another's batch is none of the next caller's. */
  forget(): void {
    this.dismiss();
    this.waiting = false;
  }

  private async run(): Promise<void> {
    const { stored } = this;
    if (stored === null || this.running === stored) return;
    this.running = stored;
    this.save();
    for (let index = 0; index < stored.tasks.length; ) {
      if (stored.stopped || this.stored !== stored) break;
      const done = stored.ids[index] !== null || index in stored.refusals;
      if (done || (await this.ask(stored, index))) index += 1;
    }
    if (this.running !== stored) return; // the next one has begun
    this.waiting = false;
    this.running = null;
  }

  /** Ask for one task. -> false: to be tried again. */
  private async ask(stored: Stored, index: number): Promise<boolean> {
    const task = stored.tasks[index] as Task;
    const recipe = { ...stored.recipe, prompt: task.prompt, seed: task.seed, count: task.count };
    try {
      const call = { ...toRequest(recipe), priority: PRIORITY };
      const { id } = await jobs.submit(call, `${stored.key}-${index}`);
      stored.ids[index] = id;
      this.waiting = false;
      if (stored.stopped) void jobs.cancel(id).catch(() => undefined); // meanwhile; it may be over
    } catch (error) {
      const status = error instanceof Failure ? error.status : 500;
      // Signed out it waits, too: whoever it belongs to may come back.
      if (status === 429 || status === 503 || status === 401 || status === 0) {
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
    keep(KEY, this.stored && JSON.stringify(this.stored));
  }

  /** Another tab told of the batch: this one stops with it, or shows it where it runs none. */
  private hear(text: string | null): void {
    const told = parsed(text);
    const { stored } = this;
    const runs = stored !== null && this.running === stored;
    if (runs && told?.key === stored.key) stored.stopped ||= told.stopped;
    else this.stored = told;
  }
}

function parsed(text: string | null): Stored | null {
  try {
    return JSON.parse(text ?? "null") as Stored | null;
  } catch {
    return null;
  }
}

export const batch = new Batch();
