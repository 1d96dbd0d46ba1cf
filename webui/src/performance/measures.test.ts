import { expect, test } from "vitest";
import { Book, type Point } from "./book.svelte.ts";
import { device, frame, history, picture } from "./fixtures.ts";
import {
  budget,
  causeShares,
  chosen,
  explained,
  givenSteps,
  load,
  partRows,
  percentile,
  rates,
  sizes,
  stepTimes,
  trend,
  waterfall,
} from "./measures.ts";

function bookOf(values: Parameters<typeof history>[0]): Book {
  const book = new Book();
  book.load(history(values));
  return book;
}

test("percentiles are values that were measured, by nearest rank", () => {
  const values = Array.from({ length: 100 }, (_, i) => i + 1);
  expect([0.5, 0.95, 0.99].map((share) => percentile(values, share))).toEqual([50, 95, 99]);
  expect(percentile([7], 0.99)).toBe(7);
});

test("stage rows are of the chosen size and precision only", () => {
  const book = bookOf({
    devices: [device(0), device(1, { precision: "fp8" })],
    pictures: [
      picture(1),
      picture(2, { width: 1024, height: 1024, stages_ms: { denoise: 700 }, total_ms: 700 }),
      picture(3, { device: 1, stages_ms: { denoise: 40 }, total_ms: 40 }),
      picture(4, { outcome: "failed", stages_ms: {} }),
    ],
  });
  expect(sizes(book)).toEqual([
    { size: "512 × 512", count: 2 },
    { size: "1024 × 1024", count: 1 },
  ]);
  const rows = partRows(chosen(book, { size: "512 × 512", precision: "fp8" }));
  expect(rows.find((row) => row.part === "denoise")).toMatchObject({ p50: 40, p99: 40, count: 1 });
  expect(chosen(book, { size: null, precision: null })).toHaveLength(3);
});

test("what the stages explain of the measured time is told, not assumed", () => {
  expect(explained([picture(1)])).toBe(1);
  expect(explained([picture(1, { total_ms: 200 })])).toBe(0.5);
});

test("a picture's course has its queue, its own steps and the gaps between", () => {
  const book = bookOf({
    runs: [
      [0, 0, 1010, 5, 1, [1, 0]],
      [0, 1, 1020, 30, 1, [1, 1, 2, 4]],
      [0, 1, 1050, 30, 0, [2, 5]], // somebody else's
      [0, 1, 1080, 30, 0, [1, 2]],
    ],
  });
  const pieces = waterfall(book, picture(1));
  expect(pieces.map((piece) => [piece.part, piece.start, piece.end])).toEqual([
    ["queue", 0, 10],
    ["encode", 10, 15],
    ["wait", 15, 20],
    ["denoise", 20, 50],
    ["wait", 50, 80],
    ["denoise", 80, 110],
  ]);
  expect(pieces[3]).toMatchObject({ step: 1, company: 2, replayed: true });
});

test("the budget is the arithmetic at the measured ceiling; without one it is unknown", () => {
  const book = bookOf({ devices: [device(0, { ceiling_tflops: 200 }), device(1)] });
  const found = budget(book, picture(1));
  expect(found?.limitMs).toBe(50);
  expect(found?.share).toBe(0.5);
  expect(found?.rest.find((each) => each.part === "denoise")?.ms).toBe(20);
  expect(budget(book, picture(1, { device: 1 }))).toBeNull();
});

test("step times are of one size, and their trend is of medians", () => {
  const book = bookOf({
    requests: [
      [1, 512, 512, 8],
      [2, 1024, 1024, 8],
    ],
    runs: Array.from({ length: 80 }, (_, i) => [
      0,
      1,
      i * 100,
      i % 2 ? 90 : i < 40 ? 20 : 22,
      1,
      [i % 2 ? 2 : 1, 1],
    ]),
  });
  const steps = stepTimes(book, "512 × 512", 400);
  expect(steps).toHaveLength(40);
  expect(trend(steps)).toBeCloseTo(0.1);
  expect(trend(steps.slice(1))).toBeNull();
  expect(stepTimes(book, null, 10).map((step) => step.ms)).toEqual([
    22, 90, 22, 90, 22, 90, 22, 90, 22, 90,
  ]);
});

const point = (t: number, finished: number, denoise: number): Point => ({
  t,
  queue: { accepted: 0, waiting: 0, running: 0 },
  arrived: finished,
  outcomes: { finished },
  devices: [{ device: 0, causes_s: [denoise, 0, 0, 0, 0, t - denoise], launches: 0, replays: 0 }],
});

test("rates look back over a window, and shares of time never exceed it", () => {
  const points = [point(0, 0, 0), point(2, 4, 2), point(4, 8, 4), point(6, 8, 4)];
  expect(rates(points, (p) => p.outcomes.finished ?? 0, 2)).toEqual([null, 2, 2, 0]);
  expect(causeShares(points, 0, ["denoise"], 4)).toEqual([null, 1, 1, 0.5]);
  expect(causeShares(points, 5, ["denoise"], 4)).toEqual([null, 0, 0, 0]);
});

test("the load: pictures a second, time until all is done, graphs, packs", () => {
  const book = bookOf({
    t: 60,
    queue: { accepted: 6, waiting: 4, running: 2 },
    devices: [device(0, { packs: { 1: 5, 4: 2 } }), device(1, { packs: { 1: 1 } })],
    points: [point(0, 0, 0), point(60, 60, 50)],
    pictures: Array.from({ length: 60 }, (_, i) => picture(i, { submitted_s: i, total_ms: 900 })),
    runs: [
      [0, 1, 59_000, 20, 1, [1, 1]],
      [0, 1, 59_100, 20, 0, [1, 2]],
      [0, 3, 59_200, 20, 0, [1, 2]], // files are no launches
    ],
  });
  const found = load(book);
  expect(found.imagesPerSecond).toBeCloseTo(1, 1);
  expect(found.etaSeconds).toBeCloseTo(6, 0);
  expect(found.replayShare).toBe(0.5);
  expect(found.packs).toEqual([
    { size: 1, count: 6 },
    { size: 4, count: 2 },
  ]);
  book.add(frame(61));
  expect(load(book).etaSeconds).toBe(0);
});

test("a CPU has no graphs to hit", () => {
  const book = bookOf({
    devices: [device(0, { clock: "host", name: "cpu" })],
    runs: [[0, 1, 9000, 20, 0, [1, 1]]],
  });
  expect(load(book).replayShare).toBeNull();
});

test("given steps are told where callers left a range", () => {
  const book = bookOf({
    pictures: [
      picture(1),
      picture(2, { steps: 6, asked_steps: [4, 8] }),
      picture(3, { steps: 8, asked_steps: [4, 12] }),
    ],
  });
  expect(givenSteps(book)).toEqual({ given: 7, most: 10 });
  expect(givenSteps(bookOf({ pictures: [picture(1)] }))).toBeNull();
});
