import { expect, test } from "vitest";
import { fits, moved, snapped } from "./amount.ts";

const PICTURES = { min: 1, max: 10, step: 1 };
const GUIDANCE = { min: 0, max: 20, step: 0.1 };

test.each([
  [1, PICTURES, true],
  [10, PICTURES, true],
  [11, PICTURES, false],
  [8.5, PICTURES, false],
  [null, PICTURES, false],
  [Number.NaN, PICTURES, false],
  [null, GUIDANCE, false],
  [2.25, GUIDANCE, true], // the model takes it: the step is only the slider's
  [20.1, GUIDANCE, false],
])("%s in %o is taken: %s", (value, range, taken) => {
  expect(fits(value, range)).toBe(taken);
});

test.each([
  ["ArrowRight", 1, PICTURES, 2],
  ["ArrowUp", 10, PICTURES, 10],
  ["ArrowLeft", 1, PICTURES, 1],
  ["ArrowDown", 4, PICTURES, 3],
  ["PageUp", 3, { ...PICTURES, max: 120 }, 13],
  ["PageDown", 3, PICTURES, 1],
  ["Home", 7, PICTURES, 1],
  ["End", 7, PICTURES, 10],
  ["ArrowRight", null, PICTURES, 2],
  ["ArrowRight", 0.2, GUIDANCE, 0.3],
  ["ArrowLeft", 0.3, GUIDANCE, 0.2],
  ["ArrowRight", 2.25, GUIDANCE, 2.3],
  ["ArrowLeft", 2.25, GUIDANCE, 2.2],
  ["PageUp", 1.5, GUIDANCE, 2.5],
  ["Tab", 7, PICTURES, null],
])("%s takes %s in %o to %s", (key, value, range, to) => {
  expect(moved(key, value, range)).toBe(to);
});

test("a slider's place is a whole number of steps within the range", () => {
  expect(snapped(3.4, PICTURES)).toBe(3);
  expect(snapped(0.30000000000000004, GUIDANCE)).toBe(0.3);
  expect(snapped(99, PICTURES)).toBe(10);
});
