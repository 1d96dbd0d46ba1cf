/** How the jobs stand that belong together: from the first that is asked for until none is open. */

import type { Job } from "../api/types.ts";
import { isOpen } from "./change.ts";

export type Standing =
  | { state: "none" } // nothing was asked for yet
  | { state: "queued" }
  | { state: "running"; more: boolean } // others wait
  | { state: "done"; pictures: number }
  | { state: "failed"; error: string | null }
  | { state: "cancelled" };

export interface Round {
  ids: ReadonlySet<string>;
  standing: Standing;
}

export const NO_ROUND: Round = { ids: new Set(), standing: { state: "none" } };

/**
 * The round after a change of the jobs. `asked`: ids that were asked for since the last look, which
 * may be over by now; `more`: a batch has others to ask for. A round that is over stays as it was
 * said, whatever becomes of its jobs.
 */
export function next(
  before: Round,
  jobs: readonly Job[],
  asked: readonly string[],
  more: boolean,
): Round {
  const open = jobs.filter(isOpen);
  const fresh = [...asked, ...open.map((job) => job.id)];
  const running = before.standing.state === "running";
  const isOver = !running && before.standing.state !== "queued";
  if (isOver && fresh.length === 0) return before;
  const ids = new Set([...(isOver ? [] : before.ids), ...fresh]);
  if (open.length === 0 && !more) return { ids, standing: endOf(jobs, ids) };
  // What once ran goes on running: between two of many jobs none may run for a moment.
  const runs = running || open.some((job) => job.state === "running");
  const waits = more || open.some((job) => job.state === "queued");
  return { ids, standing: runs ? { state: "running", more: waits } : { state: "queued" } };
}

function endOf(jobs: readonly Job[], ids: ReadonlySet<string>): Standing {
  const members = jobs.filter((job) => ids.has(job.id));
  const failed = members.find((job) => job.state === "failed");
  if (failed) return { state: "failed", error: failed.error };
  const pictures = members.reduce((sum, job) => sum + job.images.length, 0);
  return pictures === 0 ? { state: "cancelled" } : { state: "done", pictures };
}
