import { expect, test } from "vitest";
import { LIMITS } from "./limits.sample.ts";
import { ratioName, sizeProblem } from "./size.ts";

test.each([
  [1024, 1024, "1:1"],
  [1344, 768, "16:9"],
  [768, 1344, "9:16"],
  [1152, 896, "5:4"],
  [176, 96, "16:9"],
  [96, 144, "2:3"],
])("%s × %s is called %s", (width, height, name) => {
  expect(ratioName(width, height)).toBe(name);
});

test("what the model takes is no problem", () => {
  expect(sizeProblem(1024, 576, false, LIMITS)).toBeNull();
});

test("a problem names the limit and what would do", () => {
  expect(sizeProblem(1000, 1024, false, LIMITS)).toEqual({
    kind: "multiple",
    multiple: 16,
    nearest: 1008,
  });
  expect(sizeProblem(1024, 8192, false, LIMITS)).toMatchObject({ kind: "side", max: 4096 });
  expect(sizeProblem(256, 256, false, LIMITS)).toMatchObject({ kind: "pixels", min: 262144 });
  expect(sizeProblem(Number.NaN, 1024, false, LIMITS)).toMatchObject({ kind: "side" });
});

test("guidance takes memory, so that less is taken with it", () => {
  expect(sizeProblem(1536, 1536, false, LIMITS)).toBeNull();
  expect(sizeProblem(1536, 1536, true, LIMITS)).toMatchObject({ kind: "pixels", max: 1024 * 1024 });
  expect(sizeProblem(1024, 1024, true, LIMITS)).toBeNull();
});
