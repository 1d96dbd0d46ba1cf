/** What a number with a range may be, and where keys take it. */

export interface Range {
  min: number;
  max: number;
  step: number;
}

/**
 * Whether a field's number is one that is taken; an empty field has null. Where the step is whole,
 * so are the numbers; a fraction is only how far a slider goes at a time.
 */
export function fits(value: number | null, { min, max, step }: Range): boolean {
  if (value === null || !(value >= min && value <= max)) return false;
  return !Number.isInteger(step) || Number.isInteger(value / step);
}

/** The nearest number of the range that is whole steps. */
export function snapped(value: number, { min, max, step }: Range): number {
  const steps = Number((Math.round(value / step) * step).toFixed(4));
  return Math.min(Math.max(steps, min), max);
}

const STRIDES: Record<string, number> = {
  ArrowUp: 1,
  ArrowRight: 1,
  ArrowDown: -1,
  ArrowLeft: -1,
  PageUp: 10,
  PageDown: -10,
};
const NEARLY = 1e-6; // of a step: what counts as having reached it

/** Where a key takes a slider's number; null: the key is none of a slider's. */
export function moved(key: string, value: number | null, range: Range): number | null {
  if (key === "Home") return range.min;
  if (key === "End") return range.max;
  const stride = STRIDES[key];
  if (stride === undefined) return null;
  const at = Math.min(Math.max(value ?? range.min, range.min), range.max) / range.step;
  // From between two steps the first goes to the next of them.
  const from = stride > 0 ? Math.floor(at + NEARLY) : Math.ceil(at - NEARLY);
  return snapped((from + stride) * range.step, range);
}
