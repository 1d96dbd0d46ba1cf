/** What an event makes of a job; a pure function, so that a replayed event changes nothing. */

import type { ImageInfo, Job } from "../api/types.ts";

export type JobEvent =
  | { type: "queued"; job_id: string; position: number | null; eta_s: number | null }
  | { type: "started"; job_id: string }
  | { type: "progress"; job_id: string; index: number; step: number; steps: number }
  | { type: "image"; job_id: string; index: number; image: ImageInfo }
  | { type: "done"; job_id: string }
  | { type: "failed"; job_id: string; error: string }
  | { type: "cancelled"; job_id: string };

export const OPEN_STATES: readonly string[] = ["queued", "running"];

export function isOpen(job: Job): boolean {
  return OPEN_STATES.includes(job.state);
}

/** The job after the event. Once it has ended, only missing pictures still count. */
export function change(job: Job, event: JobEvent, now_s: number): Job {
  if (event.type === "image") return { ...job, images: withImage(job.images, event.image) };
  if (!isOpen(job)) return job;
  switch (event.type) {
    case "queued":
      return { ...job, state: "queued", position: event.position, eta_s: event.eta_s };
    case "started":
      return { ...job, state: "running", position: null, started_at: job.started_at ?? now_s };
    case "progress": {
      const { index, step, steps } = event;
      return { ...job, state: "running", position: null, progress: { index, step, steps } };
    }
    case "done":
    case "cancelled":
      return { ...job, state: event.type, progress: null, ended_at: now_s };
    case "failed":
      return { ...job, state: "failed", progress: null, ended_at: now_s, error: event.error };
  }
}

function withImage(images: readonly ImageInfo[], image: ImageInfo): ImageInfo[] {
  const others = images.filter((other) => other.index !== image.index);
  return [...others, image].sort((a, b) => a.index - b.index);
}

/** Jobs whose pictures `retold` tells anew; of null it says that the picture is gone. */
export function withPictures(
  jobs: readonly Job[],
  retold: (image: ImageInfo) => ImageInfo | null,
): Job[] {
  return jobs.map((job) => {
    const images = job.images.map(retold).filter((image) => image !== null);
    return { ...job, images };
  });
}

/** Two lists of jobs as one, newest first; where both have a job, `fresh` is right. */
export function merge(fresh: readonly Job[], old: readonly Job[]): Job[] {
  const ids = new Set(fresh.map((job) => job.id));
  const all = [...fresh, ...old.filter((job) => !ids.has(job.id))];
  return all.sort((a, b) => b.created_at - a.created_at || (a.id < b.id ? 1 : -1));
}

/** Seconds until the job is done, from how long its steps have taken; null: too early to say. */
export function remaining(job: Job, now_s: number): number | null {
  if (job.state !== "running" || !job.progress || job.started_at == null) return null;
  const { step, steps } = job.progress;
  const all = steps * job.request.n;
  const done = Math.min(all, job.images.length * steps + step);
  const spent = now_s - job.started_at;
  return done < 2 || spent < 0.5 ? null : (spent / done) * (all - done);
}
