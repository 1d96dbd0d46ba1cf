/** What the form holds, as plain values, and the request that they make. */

import type { Capabilities, Format, JobCall } from "../api/types.ts";
import { fits } from "../parts/amount.ts";
import { sizeProblem } from "./size.ts";

export interface Recipe {
  prompt: string;
  negative: string;
  width: number;
  height: number;
  steps: number;
  leastSteps: number | null; // null: exactly `steps`; else the server may choose between the two
  guidance: number;
  seed: number; // -1: drawn by the server
  count: number;
  format: Format;
  metadata: Metadata; // what the file says of itself
}

export const GUIDANCE_STEP = 0.1; // of its slider; the model takes any number

export type Metadata = "full" | "minimal";

/**
 * The recipe that the model itself recommends, in a size that there is memory for, with the steps
 * that the operator leaves open.
 */
export function ownRecipe(model: Capabilities): Recipe {
  const { steps, steps_range: open, guidance, format } = model.defaults;
  const { width, height } = model.sizes[0] ?? model.defaults;
  return {
    prompt: "",
    negative: "",
    width,
    height,
    steps: open?.max ?? steps,
    leastSteps: open?.min ?? null,
    guidance,
    seed: -1,
    count: 1,
    format,
    metadata: "full", // so that a file can be dropped on the page and made again
  };
}

/** What the jobs API takes. A negative prompt without guidance would be refused: it stays here. */
export function toRequest(recipe: Recipe): JobCall {
  const { guidance } = recipe;
  return {
    prompt: recipe.prompt,
    negative_prompt: guidance > 0 ? recipe.negative.trim() : "",
    width: recipe.width,
    height: recipe.height,
    steps: stepsOf(recipe),
    guidance,
    seed: recipe.seed,
    n: recipe.count,
    format: recipe.format,
    metadata: recipe.metadata,
  };
}

/** A number, or the range that the server may choose from. */
export function stepsOf({ steps, leastSteps }: Recipe): number | { min: number; max: number } {
  return leastSteps === null ? steps : { min: leastSteps, max: steps };
}

/** `values` over `recipe`: those that are null or missing leave it as it is. */
export function fill(recipe: Recipe, values: Partial<Given>): Recipe {
  const steps = values.steps ?? null;
  return {
    prompt: values.prompt ?? recipe.prompt,
    negative: values.negative_prompt ?? recipe.negative,
    width: values.width ?? recipe.width,
    height: values.height ?? recipe.height,
    steps: steps === null ? recipe.steps : typeof steps === "number" ? steps : steps.max,
    leastSteps: steps === null ? recipe.leastSteps : typeof steps === "number" ? null : steps.min,
    guidance: values.guidance ?? recipe.guidance,
    seed: values.seed ?? recipe.seed,
    count: values.n ?? recipe.count,
    format: values.format ?? recipe.format,
    metadata: recipe.metadata,
  };
}

export interface Given {
  prompt: string | null;
  negative_prompt: string | null;
  width: number | null;
  height: number | null;
  steps: number | { min: number; max: number } | null;
  guidance: number | null;
  seed: number | null;
  n: number | null;
  format: Format | null;
}

/** Whether the server takes every number of it; the prompt is not looked at. */
export function isTaken(recipe: Recipe, { limits, formats }: Capabilities): boolean {
  const { steps, leastSteps, guidance, seed, count } = recipe;
  return (
    sizeProblem(recipe.width, recipe.height, guidance > 0, limits) === null &&
    isWhole(steps, limits.steps.min, limits.steps.max) &&
    (leastSteps === null || isWhole(leastSteps, limits.steps.min, steps)) &&
    fits(guidance, { ...limits.guidance, step: GUIDANCE_STEP }) &&
    isWhole(seed, -1, Number.MAX_SAFE_INTEGER) &&
    isWhole(count, 1, limits.n_max) &&
    formats.includes(recipe.format)
  );
}

function isWhole(value: number, min: number, max: number): boolean {
  return fits(value, { min, max, step: 1 });
}
