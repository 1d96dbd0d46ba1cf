import { expect, test } from "vitest";
import type { ImageInfo, Job } from "../api/types.ts";
import { change, type JobEvent, merge, remaining, withPictures } from "./change.ts";

const job = (over: Partial<Job> = {}): Job =>
  ({
    id: "a",
    state: "queued",
    created_at: 100,
    started_at: null,
    ended_at: null,
    images: [],
    error: null,
    position: 2,
    eta_s: 9,
    progress: null,
    request: { n: 2, steps: 8 },
    ...over,
  }) as Job;
const image = (index: number) => ({ index, id: `i${index}` }) as ImageInfo;
const STORY: JobEvent[] = [
  { type: "queued", job_id: "a", position: 1, eta_s: 4 },
  { type: "started", job_id: "a" },
  { type: "progress", job_id: "a", index: 0, step: 4, steps: 8 },
  { type: "image", job_id: "a", index: 0, image: image(0) },
  { type: "image", job_id: "a", index: 1, image: image(1) },
  { type: "done", job_id: "a" },
];
const tell = (events: JobEvent[], from = job()) =>
  events.reduce((before, event) => change(before, event, 110), from);

test("a job's story", () => {
  expect(tell(STORY.slice(0, 1))).toMatchObject({ state: "queued", position: 1, eta_s: 4 });
  expect(tell(STORY.slice(0, 3))).toMatchObject({
    state: "running",
    position: null,
    progress: { index: 0, step: 4, steps: 8 },
  });
  expect(tell(STORY)).toMatchObject({ state: "done", ended_at: 110, progress: null });
  expect(tell(STORY).images.map((i) => i.index)).toEqual([0, 1]);
});

test("told again, whole or in part, it ends the same", () => {
  const end = tell(STORY);
  for (let from = 0; from < STORY.length; from += 1)
    expect(tell(STORY.slice(from), end)).toEqual(end);
});

test("a picture that comes after a cancellation is kept", () => {
  const cancelled = tell([{ type: "cancelled", job_id: "a" }]);
  expect(change(cancelled, STORY[3] as JobEvent, 111)).toMatchObject({
    state: "cancelled",
    images: [{ index: 0 }],
  });
});

test("a failure keeps its sentence", () => {
  const failed = tell([{ type: "failed", job_id: "a", error: "no room; ask for less" }]);
  expect(failed).toMatchObject({ state: "failed", error: "no room; ask for less" });
});

test("lists are merged newest first, and the fresh one is right", () => {
  const old = [job({ id: "b", created_at: 50 }), job({ id: "a" })];
  const merged = merge([job({ id: "a", state: "done" }), job({ id: "c", created_at: 200 })], old);
  expect(merged.map((j) => [j.id, j.state])).toEqual([
    ["c", "queued"],
    ["a", "done"],
    ["b", "queued"],
  ]);
});

test("the time to go comes from the steps that were made", () => {
  const running = job({
    state: "running",
    started_at: 100,
    progress: { index: 0, step: 4, steps: 8 },
  });
  expect(remaining(running, 104)).toBeCloseTo(12); // 4 of 16 steps took 4 s
  expect(remaining({ ...running, images: [image(0)] }, 112)).toBeCloseTo(4);
  expect(remaining(job(), 104)).toBeNull();
});

test("pictures that were starred or deleted elsewhere are told anew in their jobs", () => {
  const jobs = [job({ images: [image(0), image(1)] }), job({ id: "b", images: [image(2)] })];
  const retold = withPictures(jobs, (one) => {
    if (one.index === 0) return null;
    return one.index === 2 ? { ...one, starred: true } : one;
  });
  expect(retold.map((one) => one.images)).toEqual([[image(1)], [{ ...image(2), starred: true }]]);
});
