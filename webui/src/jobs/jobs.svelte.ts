/** The caller's jobs as the server has them: read at the start, then told by one stream. */

import { SvelteMap } from "svelte/reactivity";
import { address, api, type Schemas } from "../api/client.ts";
import { expect, Failure, sentence } from "../api/failure.ts";
import type { ImageInfo, Job, JobCall } from "../api/types.ts";
import { server } from "../server.svelte.ts";
import { session } from "../session.svelte.ts";
import { change, isOpen, type JobEvent, merge, withPictures } from "./change.ts";

const TYPES = ["queued", "started", "progress", "image", "done", "failed", "cancelled"] as const;
const RECENT = 30; // jobs shown below the form; the gallery has all pictures
const RETRY_MS = 2000;
const HIDDEN_MS = 20_000;
const GLANCE_MS = 2000;
const BETWEEN_MS = 15_000;

class Jobs {
  list = $state.raw<readonly Job[]>([]); // newest first
  looks = new SvelteMap<string, string>(); // the latest look at an unfinished picture, by place
  warning = $state<string | null>(null); // what the server wants to have said
  asked = $state.raw<readonly string[]>([]); // ids that this page asked for, in order
  newest = $state.raw<ImageInfo | null>(null); // the last picture that was finished, as it is now

  private ears = new Set<JobEvent[]>(); // of calls that are under way

  readonly open = $derived(this.list.filter(isOpen));

  /** Begin to follow; the function that comes back ends it. */
  follow(): () => void {
    let stream: EventSource | null = null;
    let timer = 0;
    const connect = () => {
      stream = new EventSource(address("api/v1/events"));
      stream.onopen = () => {
        void this.read().catch((error) => session.note(error));
      };
      stream.onerror = () => {
        void server.ask(); // says at once when the server is gone
        if (stream?.readyState !== EventSource.CLOSED) return; // the browser tries again itself
        stream = null;
        void session.read().catch(() => undefined);
        timer = window.setTimeout(connect, RETRY_MS);
      };
      for (const type of TYPES) {
        stream.addEventListener(type, (event) => this.hear(type, event));
      }
      stream.addEventListener("snapshot", (event) => this.take(JSON.parse(event.data)));
      stream.addEventListener("warning", (event) => {
        this.warning = (JSON.parse(event.data) as { message: string }).message;
      });
    };
    const stop = () => {
      clearTimeout(timer);
      stream?.close();
      stream = null;
    };
    // A browser keeps six connections to a server: tabs that nobody looks at leave theirs to others,
    // and while jobs are open they glance at them now and then, for the tab's title.
    const rest = () => {
      stop();
      if (this.open.length === 0) return;
      timer = window.setTimeout(() => {
        connect();
        timer = window.setTimeout(rest, GLANCE_MS);
      }, BETWEEN_MS);
    };
    const look = () => {
      clearTimeout(timer);
      if (document.hidden) timer = window.setTimeout(rest, HIDDEN_MS);
      else if (stream === null) connect();
    };
    document.addEventListener("visibilitychange", look);
    connect();
    return () => {
      document.removeEventListener("visibilitychange", look);
      stop();
    };
  }

  /** What was asked for last; the stream's snapshot adds what is open, however old. */
  async read(): Promise<void> {
    const query = { limit: RECENT };
    await this.put(async () => (await expect(api.GET("/api/v1/jobs", { params: { query } }))).jobs);
  }

  /** Ask for pictures. A network that fails in between never makes them twice: the key is one. */
  async submit(body: JobCall, key: string = freshKey()): Promise<Job> {
    const header = { "idempotency-key": key };
    const call = () => expect(api.POST("/api/v1/jobs", { body, params: { header } }));
    const [job] = (await this.put(async () => [await call()])) as [Job];
    this.asked = [...this.asked, job.id];
    return job;
  }

  async cancel(id: string): Promise<void> {
    await expect(api.POST("/api/v1/jobs/{id}/cancel", { params: { path: { id } } }));
  }

  async cancelAll(): Promise<void> {
    await expect(api.POST("/api/v1/jobs/cancel"));
  }

  /** Take an ended job off the list, with its pictures. */
  async remove(id: string): Promise<void> {
    await expect(api.DELETE("/api/v1/jobs/{id}", { params: { path: { id } } }));
    this.list = this.list.filter((job) => job.id !== id);
    if (this.newest?.job_id === id) this.newest = null;
  }

  /** Another's jobs are none of the next caller's. */
  forget(): void {
    this.list = [];
    this.looks.clear();
    this.warning = null;
    this.asked = [];
    this.newest = null;
  }

  /** Pictures were starred or deleted elsewhere on this page. */
  retell(retold: (image: ImageInfo) => ImageInfo | null): void {
    this.list = withPictures(this.list, retold);
    this.newest = this.newest && retold(this.newest);
  }

  /** What is not in a whole snapshot is over: how it ended is asked. */
  private take(snapshot: Schemas["Snapshot"]): void {
    const kept = snapshot.complete ? this.list.filter((job) => !isOpen(job)) : this.list;
    const missed = this.open.map((job) => job.id);
    this.list = merge(snapshot.jobs, kept);
    void this.readAll(missed).catch((error) => session.note(error));
  }

  /** Read those that the list lacks: more may have ended unheard than `read` brings. */
  private async readAll(ids: readonly string[]): Promise<void> {
    for (const id of ids) await this.has(id);
  }

  private hear(type: (typeof TYPES)[number], message: MessageEvent<string>): void {
    const event = { ...JSON.parse(message.data), type } as JobEvent & { preview?: Look | null };
    if (event.type === "progress" && event.preview) {
      const { mime, b64 } = event.preview;
      this.looks.set(place(event.job_id, event.index), `data:${mime};base64,${b64}`);
    }
    for (const heard of this.ears) heard.push(event);
    if (event.type === "image") this.newest = event.image;
    if (!this.list.some((job) => job.id === event.job_id)) {
      if (event.type === "queued" || event.type === "started") {
        void this.has(event.job_id).catch((error) => {
          this.warning = sentence(error);
        });
      }
      return; // another tab's: it is read whole
    }
    const now_s = Date.now() / 1000;
    this.list = this.list.map((job) => (job.id === event.job_id ? change(job, event, now_s) : job));
    this.settle(event);
  }

  /** Whether there is such a job; one that the list lacks is read into it. */
  async has(id: string): Promise<boolean> {
    if (this.list.some((job) => job.id === id)) return true;
    const path = { id };
    try {
      await this.put(async () => [
        await expect(api.GET("/api/v1/jobs/{id}", { params: { path } })),
      ]);
      return true;
    } catch (error) {
      if (error instanceof Failure && error.status === 404) return false;
      throw error;
    }
  }

  /** Take jobs into the list; what was heard of them while the answer was under way still counts. */
  private async put(call: () => Promise<Job[]>): Promise<Job[]> {
    const heard: JobEvent[] = [];
    this.ears.add(heard);
    try {
      const now_s = Date.now() / 1000;
      const found = (await call()).map((job) =>
        heard
          .filter((event) => event.job_id === job.id)
          .reduce((before, event) => change(before, event, now_s), job),
      );
      this.list = merge(found, this.list);
      return found;
    } finally {
      this.ears.delete(heard);
    }
  }

  /** Looks at what is finished are of no use any more. */
  private settle(event: JobEvent): void {
    if (event.type === "image") this.looks.delete(place(event.job_id, event.index));
    if (!["done", "failed", "cancelled"].includes(event.type)) return;
    for (const key of this.looks.keys()) {
      if (key.startsWith(`${event.job_id}/`)) this.looks.delete(key);
    }
  }
}

/** crypto.randomUUID is only there over TLS and on this very machine. */
export function freshKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join("");
}

interface Look {
  mime: string;
  b64: string;
}

export function place(job: string, index: number): string {
  return `${job}/${index}`;
}

export const jobs = new Jobs();
