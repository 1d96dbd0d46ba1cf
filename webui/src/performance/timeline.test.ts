import { expect, test } from "vitest";
import { Book } from "./book.svelte.ts";
import { colourOf } from "./colours.ts";
import { history } from "./fixtures.ts";
import { boxes, heightOf, hit, listed, moved, rowsOf, ticks, zoomed } from "./timeline.ts";

function bookOf(runs: Parameters<typeof history>[0]): Book {
  const book = new Book();
  book.load(history(runs));
  return book;
}

test("each device has a row a stream, and none overlap", () => {
  for (const count of [1, 2, 4, 8]) {
    const rows = rowsOf(Array.from({ length: count }, (_, i) => i));
    expect(rows).toHaveLength(4 * count);
    for (let i = 1; i < rows.length; i += 1) {
      const [above, below] = [rows[i - 1], rows[i]];
      expect(below?.top).toBeGreaterThanOrEqual((above?.top ?? 0) + (above?.height ?? 0));
    }
    expect(heightOf(rows)).toBeLessThan(700);
  }
});

test("boxes lie where their time is, and only those in view", () => {
  const book = bookOf({
    runs: [
      [0, 1, 0, 50, 1, [1, 1]],
      [0, 1, 100, 50, 1, [1, 2]],
      [0, 1, 900, 200, 1, [1, 3]],
      [0, 1, 2000, 50, 1, [1, 4]],
    ],
  });
  const found = boxes(book, rowsOf([0]), { from: 80, to: 1080 }, 500);
  expect(found.map((box) => [box.x, box.width])).toEqual([
    [10, 25],
    [410, 100],
  ]);
});

test("ten thousand spans in view are as many boxes as there are pixels", () => {
  const runs = Array.from({ length: 8000 }, (_, i) => [0, 1, i, 0.9, 1, [i, 1]] as const);
  const book = bookOf({ runs: runs as never });
  const found = boxes(book, rowsOf([0]), { from: 0, to: 8000 }, 400);
  expect(found.length).toBeLessThanOrEqual(800);
  expect(found.length).toBeGreaterThan(300);
});

test("files that are written side by side get lanes", () => {
  const book = bookOf({
    runs: [
      [0, 3, 0, 30, 0, [1, 0]],
      [0, 3, 10, 30, 0, [2, 0]],
      [0, 3, 35, 30, 0, [3, 0]],
    ],
  });
  const [a, b, c] = boxes(book, rowsOf([0]), { from: 0, to: 100 }, 1000);
  expect(a?.y).toBe(c?.y);
  expect(b?.y).toBeGreaterThan(a?.y ?? 0);
});

test("a span is hit under the pointer, or the nearest one close by", () => {
  const rows = rowsOf([0]);
  const book = bookOf({ runs: [[0, 1, 100, 10, 1, [1, 1]]] });
  const found = boxes(book, rows, { from: 0, to: 1000 }, 1000);
  const y = (rows[1]?.top ?? 0) + 2;
  expect(hit(found, 105, y, 3)?.run.members[0]?.request).toBe(1);
  expect(hit(found, 112, y, 3)).not.toBeNull();
  expect(hit(found, 120, y, 3)).toBeNull();
  expect(hit(found, 105, 5, 3)).toBeNull();
});

test("zooming keeps the moment under the pointer, within bounds", () => {
  const view = zoomed({ from: 0, to: 1000 }, 0.5, 250);
  expect(view).toEqual({ from: 125, to: 625 });
  expect(zoomed(view, 1e-9, 200).to - zoomed(view, 1e-9, 200).from).toBeCloseTo(2);
  expect(moved(view, 10)).toEqual({ from: 135, to: 635 });
});

test("the axis is marked at round moments that do not crowd", () => {
  for (const length of [5, 130, 12_000, 120_000]) {
    const marks = ticks({ from: 17, to: 17 + length }, 900, 90);
    expect(marks.length).toBeGreaterThan(2);
    expect(marks.length).toBeLessThanOrEqual(11);
    for (const { at, step } of marks)
      expect(Math.abs(at / step - Math.round(at / step))).toBeLessThan(1e-6);
  }
});

test("neighbouring requests have colours far apart", () => {
  const hue = (id: number) => Number(colourOf(id, true).split(" ")[2]?.replace(")", ""));
  for (let id = 0; id < 50; id += 1) {
    const apart = Math.abs(hue(id) - hue(id + 1));
    expect(Math.min(apart, 360 - apart)).toBeGreaterThan(80);
  }
});

test("a table that is paused takes no later runs", () => {
  const book = bookOf({
    runs: Array.from({ length: 100 }, (_, i) => [0, 1, i * 10, 5, 1, []]),
  } as Parameters<typeof history>[0]);
  expect(listed(book.runs, null).map((run) => run.start)).toEqual(
    Array.from({ length: 60 }, (_, i) => 990 - i * 10),
  );
  expect(listed(book.runs, { from: 0, to: 125 })[0]?.start).toBe(120);
});
