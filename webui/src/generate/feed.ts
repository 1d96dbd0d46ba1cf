/** Which jobs stand beside the form, and in which order. */

import type { Job } from "../api/types.ts";

const MOST = 40; // of those that are over; the gallery has all

/**
 * What runs, then what there is to see, newest first, then what waits, then what came to nothing.
 * Of a batch only what runs or shows something: its own card counts the rest.
 */
export function feed(jobs: readonly Job[], batch: ReadonlySet<string>): Job[] {
  const own = (job: Job) => !batch.has(job.id);
  const running = jobs.filter((job) => job.state === "running");
  const over = jobs.filter((job) => job.state !== "running" && hasNews(job)).slice(0, MOST);
  const waiting = jobs.filter((job) => job.state === "queued" && !hasNews(job) && own(job));
  const nothing = jobs.filter((job) => isEmpty(job) && own(job)).slice(0, MOST - over.length);
  // A batch's runs oldest first: the large one stays until it is done.
  const first = [...running.filter(own), ...running.filter((job) => !own(job)).reverse()];
  return [...first, ...over, ...waiting, ...nothing];
}

/** Pictures, or why there are none. */
function hasNews(job: Job): boolean {
  return job.images.length > 0 || job.state === "failed";
}

function isEmpty(job: Job): boolean {
  return (job.state === "cancelled" || job.state === "done") && job.images.length === 0;
}
