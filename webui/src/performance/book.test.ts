import { expect, test } from "vitest";
import { Book } from "./book.svelte.ts";
import { device, frame, history, picture } from "./fixtures.ts";

test("a frame's deltas are laid over what was known", () => {
  const book = new Book();
  book.load(history({ devices: [device(0, { packs: { 1: 3 }, launches: { denoise: 3 } })] }));
  book.add(frame(11, { devices: [{ device: 0, packs: { 1: 4 } }, device(1)] }));
  expect(book.deviceList.map((each) => each.device)).toEqual([0, 1]);
  expect(book.devices.get(0)).toMatchObject({
    name: "NVIDIA H200",
    packs: { 1: 4 },
    launches: { denoise: 3 },
  });
});

test("runs are unfolded with their members", () => {
  const book = new Book();
  book.load(history({ requests: [[7, 512, 768, 8]], runs: [[1, 1, 100, 20, 1, [7, 3, 8, 1]]] }));
  expect(book.runs).toEqual([
    {
      device: 1,
      stage: "denoise",
      start: 100,
      end: 120,
      replayed: true,
      members: [
        { request: 7, step: 3 },
        { request: 8, step: 1 },
      ],
    },
  ]);
  expect(book.asked.get(7)).toEqual({ width: 512, height: 768, steps: 8 });
});

test("what is kept is bounded, however long the page is open", () => {
  const book = new Book();
  book.load(history());
  for (let i = 0; i < 4000; i += 1) {
    book.add(
      frame(10 + i / 4, {
        runs: Array.from({ length: 8 }, (_, n) => [0, 1, i * 250 + n, 1, 1, [i, 1]] as const) as [
          number,
          number,
          number,
          number,
          number,
          number[],
        ][],
        requests: [[i, 64, 64, 8]],
        pictures: [picture(i)],
      }),
    );
  }
  expect(book.runs.length).toBeLessThanOrEqual(8192 * 1.125);
  expect(book.runs.length).toBeGreaterThanOrEqual(8192);
  expect(book.pictures.length).toBeLessThanOrEqual(1024 * 1.125);
  expect(book.asked.size).toBe(2048);
  expect(book.points.length).toBeLessThanOrEqual(300 * 1.125);
  const [first, second] = book.points;
  expect((second?.t ?? 0) - (first?.t ?? 0)).toBe(2);
});

test("a new history forgets the old one", () => {
  const book = new Book();
  book.load(history({ devices: [device(0), device(1)], pictures: [picture(1)] }));
  book.load(history({ devices: [device(0)], recorded: "a run" }));
  expect(book.deviceList).toHaveLength(1);
  expect(book.pictures).toEqual([]);
  expect(book.recorded).toBe("a run");
});
