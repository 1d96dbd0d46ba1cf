import { expect, test } from "vitest";
import { neighbour, rows, visible } from "./rows.ts";

const SHAPES = [
  { width: 1024, height: 1024 },
  { width: 1344, height: 768 },
  { width: 576, height: 1024 },
];
const many = Array.from({ length: 10_000 }, (_, i) => SHAPES[i % 3] ?? { width: 1, height: 1 });

test("every row but the last is exactly as wide as the page", () => {
  const laid = rows(many, 1200, 200, 4);
  for (const row of laid.slice(0, -1)) {
    const last = row.cells[row.cells.length - 1];
    expect((last?.left ?? 0) + (last?.width ?? 0)).toBeCloseTo(1200, 6);
    expect(row.height).toBeLessThanOrEqual(200);
    expect(row.height).toBeGreaterThan(120);
  }
  expect(laid.flatMap((row) => row.cells.map((cell) => cell.index))).toEqual(many.map((_, i) => i));
});

test("a picture keeps its ratio", () => {
  for (const row of rows(many.slice(0, 50), 900, 180, 4)) {
    for (const cell of row.cells) {
      expect(cell.width / row.height).toBeCloseTo(cell.item.width / cell.item.height, 6);
    }
  }
});

test("one picture alone is not blown up", () => {
  const [row] = rows([{ width: 100, height: 100 }], 1200, 200, 4);
  expect(row?.height).toBe(200);
  expect(rows([], 1200, 200, 4)).toEqual([]);
});

test("only the rows in the window are shown", () => {
  const laid = rows(many, 1200, 200, 4);
  const shown = visible(laid, 5000, 6000);
  expect(shown.length).toBeGreaterThan(4);
  expect(shown.length).toBeLessThan(10);
  expect(shown).toEqual(laid.filter((row) => row.top + row.height >= 5000 && row.top <= 6000));
});

test("up and down go to the nearest picture of the next row", () => {
  const laid = rows(many.slice(0, 12), 1000, 200, 0);
  const below = neighbour(laid, 0, 1);
  expect(laid[1]?.cells[0]?.index).toBe(below);
  expect(neighbour(laid, below, -1)).toBe(0);
  expect(neighbour(laid, 0, -1)).toBe(-1);
});

test("ten thousand pictures are laid out within a frame or two", () => {
  const start = performance.now();
  rows(many, 1200, 200, 4);
  expect(performance.now() - start).toBeLessThan(200);
});
