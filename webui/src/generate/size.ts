/** Sizes: what a model takes, and what people call their ratios. */

import type { Capabilities } from "../api/types.ts";

type Limits = Capabilities["limits"];

const FAMILIAR = [
  [1, 1],
  [5, 4],
  [4, 3],
  [3, 2],
  [16, 9],
  [21, 9],
] as const;

/** The familiar ratio that is nearest, as in 16:9 for 1344 × 768; exact ones are themselves. */
export function ratioName(width: number, height: number): string {
  const wide = Math.max(width, height) / Math.min(width, height);
  const [long, short] = FAMILIAR.reduce((best, next) =>
    Math.abs(Math.log(next[0] / next[1] / wide)) < Math.abs(Math.log(best[0] / best[1] / wide))
      ? next
      : best,
  );
  return width >= height ? `${long}:${short}` : `${short}:${long}`;
}

export type SizeProblem =
  | { kind: "multiple"; multiple: number; nearest: number }
  | { kind: "side"; min: number; max: number }
  | { kind: "pixels"; min: number; max: number; guided: boolean };

/** Why the server does not take this size; null: it does. Guidance takes memory of its own. */
export function sizeProblem(
  width: number,
  height: number,
  guided: boolean,
  limits: Limits,
): SizeProblem | null {
  for (const side of [width, height]) {
    if (!(side >= limits.min_side && side <= limits.max_side)) {
      return { kind: "side", min: limits.min_side, max: limits.max_side };
    }
    if (side % limits.multiple !== 0) {
      return { kind: "multiple", multiple: limits.multiple, nearest: nearest(side, limits) };
    }
  }
  const pixels = width * height;
  const max = guided ? limits.max_guided_pixels : limits.max_pixels;
  if (pixels < limits.min_pixels || pixels > max) {
    return { kind: "pixels", min: limits.min_pixels, max, guided };
  }
  return null;
}

function nearest(side: number, limits: Limits): number {
  const rounded = Math.round(side / limits.multiple) * limits.multiple;
  return Math.min(Math.max(rounded, limits.min_side), limits.max_side);
}
