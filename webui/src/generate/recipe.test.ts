import { expect, test } from "vitest";
import type { Capabilities } from "../api/types.ts";
import { LIMITS } from "./limits.sample.ts";
import { fill, isTaken, ownRecipe, toRequest } from "./recipe.ts";

const MODEL = {
  sizes: [{ width: 1024, height: 1024, ratio: "1:1" }],
  defaults: { width: 1024, height: 1024, steps: 8, guidance: 0, format: "png" },
  limits: LIMITS,
  formats: ["png", "webp", "jpeg"],
} as unknown as Capabilities;
const OWN = ownRecipe(MODEL);

test("a negative prompt without guidance is not sent, for it would be refused", () => {
  expect(toRequest({ ...OWN, negative: "fog" }).negative_prompt).toBe("");
  expect(toRequest({ ...OWN, negative: " fog ", guidance: 2 }).negative_prompt).toBe("fog");
});

test("steps are a number or a range, and come back as they went", () => {
  expect(toRequest(OWN).steps).toBe(8);
  const ranged = { ...OWN, steps: 60, leastSteps: 20 };
  expect(toRequest(ranged).steps).toEqual({ min: 20, max: 60 });
  expect(fill(OWN, { steps: { min: 20, max: 60 } })).toEqual(ranged);
  expect(fill(ranged, { steps: 9 })).toMatchObject({ steps: 9, leastSteps: null });
  expect(fill(ranged, { seed: 4, width: null })).toEqual({ ...ranged, seed: 4 });
});

test("a server that leaves steps open by itself has the form begin with its range", () => {
  const defaults = { ...MODEL.defaults, steps_range: { min: 4, max: 16 } };
  const own = ownRecipe({ ...MODEL, defaults });
  expect(toRequest(own).steps).toEqual({ min: 4, max: 16 });
});

test.each([
  [{}, true],
  [{ width: 1000 }, false],
  [{ width: 2048 }, true],
  [{ width: 2048, guidance: 2 }, false],
  [{ steps: 0 }, false],
  [{ steps: 2.5 }, false],
  [{ steps: 20, leastSteps: 30 }, false],
  [{ guidance: 21 }, false],
  [{ guidance: Number.NaN }, false],
  [{ guidance: null as unknown as number }, false], // an emptied field
  [{ guidance: 2.25 }, true],
  [{ seed: -2 }, false],
  [{ seed: 2 ** 53 }, false],
  [{ count: 11 }, false],
  [{ format: "gif" as "png" }, false],
])("%o: whether the model takes it is %s", (change, taken) => {
  expect(isTaken({ ...OWN, ...change }, MODEL)).toBe(taken);
});

test("where memory is too small for the default size, the form starts with one that fits", () => {
  const sizes = [{ width: 640, height: 640, ratio: "1:1" }];
  const small = { ...MODEL, sizes, limits: { ...MODEL.limits, max_pixels: 640 * 640 } };
  expect(ownRecipe(small)).toMatchObject({ width: 640, height: 640, steps: 8 });
  expect(isTaken(ownRecipe(small), small)).toBe(true);
  expect(isTaken(OWN, small)).toBe(false);
});
