import { expect, test } from "vitest";
import type { ImageInfo, Job } from "../api/types.ts";
import { feed } from "./feed.ts";

const job = (id: string, state: Job["state"], pictures = 0) =>
  ({ id, state, images: Array.from({ length: pictures }, () => ({}) as ImageInfo) }) as Job;
const ids = (jobs: readonly Job[], batch: string[] = []) =>
  feed(jobs, new Set(batch)).map(({ id }) => id);

test("what can be seen comes before what waits, and what came to nothing last", () => {
  const jobs = [
    job("queued", "queued"),
    job("cancelled", "cancelled"),
    job("running", "running"),
    job("failed", "failed"),
    job("part", "cancelled", 1),
    job("done", "done", 2),
  ];
  expect(ids(jobs)).toEqual(["running", "failed", "part", "done", "queued", "cancelled"]);
});

test("a batch shows its pictures and what runs, the oldest first", () => {
  const jobs = [
    job("b5", "queued"),
    job("b4", "cancelled"),
    job("b3", "running"),
    job("b2", "running"),
    job("b1", "done", 1),
    job("mine", "running"),
  ];
  expect(ids(jobs, ["b1", "b2", "b3", "b4", "b5"])).toEqual(["mine", "b2", "b3", "b1"]);
});

test("many that are over hide none that are open", () => {
  const many = Array.from({ length: 50 }, (_, index) => job(`d${index}`, "done", 1));
  const shown = ids([...many, job("queued", "queued"), job("none", "cancelled")]);
  expect(shown).toHaveLength(41);
  expect(shown.at(-1)).toBe("queued");
});
