/** Figures drawn from a book: percentiles, rates, waterfalls, shares. Pure functions. */

import {
  type Book,
  CAUSES,
  type Cause,
  type Member,
  type Picture,
  type Point,
  type Run,
} from "./book.svelte.ts";

export const PARTS = ["queue", "encode", "denoise", "decode", "file", "wait"] as const;
export type Part = (typeof PARTS)[number];

export interface Percentiles {
  p50: number;
  p95: number;
  p99: number;
  count: number;
}

/** The value that `share` of them do not exceed, by nearest rank; sorted, not empty. */
export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] as number;
}

export function percentiles(values: readonly number[]): Percentiles | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  return {
    p50: percentile(sorted, 0.5),
    p95: percentile(sorted, 0.95),
    p99: percentile(sorted, 0.99),
    count: sorted.length,
  };
}

/** What pictures are told apart by. */
export interface Choice {
  size: string | null; // as sizeOf writes it; null: any
  precision: string | null;
}

export function sizeOf(picture: { width: number; height: number }): string {
  return `${picture.width} × ${picture.height}`;
}

/** Finished pictures of a choice. */
export function chosen(book: Book, choice: Choice): Picture[] {
  return book.pictures.filter(
    (picture) =>
      picture.outcome === "finished" &&
      (choice.size === null || sizeOf(picture) === choice.size) &&
      (choice.precision === null ||
        book.devices.get(picture.device)?.precision === choice.precision),
  );
}

/** The sizes there are, with their counts, most frequent first. */
export function sizes(book: Book): { size: string; count: number }[] {
  const counts = new Map<string, number>();
  for (const picture of book.pictures) {
    if (picture.outcome !== "finished") continue;
    const size = sizeOf(picture);
    counts.set(size, (counts.get(size) ?? 0) + 1);
  }
  return [...counts].map(([size, count]) => ({ size, count })).sort((a, b) => b.count - a.count);
}

export interface PartRow extends Percentiles {
  part: Part | "total";
}

/** Percentiles of every part and of the total, in ms. */
export function partRows(pictures: readonly Picture[]): PartRow[] {
  const rows: PartRow[] = [];
  for (const part of [...PARTS, "total"] as const) {
    const values = pictures.map((picture) =>
      part === "total" ? picture.total_ms : (picture.stages_ms?.[part] ?? 0),
    );
    const found = percentiles(values);
    if (found) rows.push({ part, ...found });
  }
  return rows;
}

/** How much of the measured total the shown parts explain; 1 is all of it. */
export function explained(pictures: readonly Picture[]): number {
  let shown = 0;
  let measured = 0;
  for (const picture of pictures) {
    for (const part of PARTS) shown += picture.stages_ms?.[part] ?? 0;
    measured += picture.total_ms;
  }
  return measured > 0 ? shown / measured : 1;
}

export interface Piece {
  part: Part;
  start: number; // ms since the picture's submission
  end: number;
  step: number; // denoise only
  company: number; // requests in the same launch
  replayed: boolean;
}

/** A picture's own course: its runs, the queue before and the gaps between them. */
export function waterfall(book: Book, picture: Picture): Piece[] {
  const zero = picture.submitted_s * 1e3;
  const pieces: Piece[] = [];
  let reached = 0;
  for (const run of runsOf(book, picture.request)) {
    const start = Math.max(0, run.start - zero);
    const gap = start - reached;
    if (gap > 0.05) {
      const part = pieces.length === 0 ? "queue" : "wait";
      pieces.push({ part, start: reached, end: start, step: 0, company: 0, replayed: false });
    }
    const member = run.members.find((each) => each.request === picture.request);
    pieces.push({
      part: run.stage,
      start,
      end: run.end - zero,
      step: run.stage === "denoise" ? (member?.step ?? 0) : 0,
      company: run.members.length,
      replayed: run.replayed,
    });
    reached = Math.max(reached, run.end - zero);
  }
  return pieces;
}

export function runsOf(book: Book, request: number): Run[] {
  return book.runs
    .filter((run) => run.members.some((member) => member.request === request))
    .sort((a, b) => a.start - b.start);
}

export interface Budget {
  limitMs: number; // what the arithmetic of all steps takes at the measured ceiling
  share: number; // limit over total
  rest: { part: Part; ms: number }[]; // what is not the limit, largest first
}

/** A picture against the most that its GPU could do; null where nobody measured that. */
export function budget(book: Book, picture: Picture): Budget | null {
  const ceiling = book.devices.get(picture.device)?.ceiling_tflops;
  if (!ceiling) return null;
  const limitMs = (picture.tflop / ceiling) * 1e3;
  const rest = PARTS.map((part) => {
    const ms = picture.stages_ms?.[part] ?? 0;
    return { part, ms: part === "denoise" ? Math.max(0, ms - limitMs) : ms };
  });
  rest.sort((a, b) => b.ms - a.ms);
  return { limitMs, share: Math.min(1, limitMs / picture.total_ms), rest };
}

export interface Step {
  t: number; // s
  ms: number;
}

/** The newest denoise launches whose pictures are all of one size (null: whatever they are). */
export function stepTimes(book: Book, size: string | null, most: number): Step[] {
  const fits = (member: Member) => {
    const asked = book.asked.get(member.request);
    return asked !== undefined && sizeOf(asked) === size;
  };
  const steps: Step[] = [];
  for (let i = book.runs.length - 1; i >= 0 && steps.length < most; i -= 1) {
    const run = book.runs[i] as Run;
    if (run.stage === "denoise" && (size === null || run.members.every(fits))) {
      steps.push({ t: run.end / 1e3, ms: run.end - run.start });
    }
  }
  return steps.reverse();
}

/** Change of the median, newest quarter against oldest: 0.1 is 10 % slower. Null below 40 steps. */
export function trend(steps: readonly Step[]): number | null {
  if (steps.length < 40) return null;
  const quarter = Math.floor(steps.length / 4);
  const middle = (part: readonly Step[]) =>
    percentile(
      part.map((step) => step.ms).sort((a, b) => a - b),
      0.5,
    );
  return middle(steps.slice(-quarter)) / middle(steps.slice(0, quarter)) - 1;
}

/** A total's growth per second at each point, over `window` s before it. */
export function rates(
  points: readonly Point[],
  total: (point: Point) => number,
  window: number,
): (number | null)[] {
  let first = 0;
  return points.map((point, i) => {
    while (first < i && point.t - (points[first] as Point).t > window) first += 1;
    const from = points[first] as Point;
    const seconds = point.t - from.t;
    return seconds > 0 ? Math.max(0, total(point) - total(from)) / seconds : null;
  });
}

/** A cause's share of one device's time at each point, over `window` s before it. */
export function causeShares(
  points: readonly Point[],
  device: number,
  causes: readonly Cause[],
  window: number,
): (number | null)[] {
  const seconds = (point: Point) => {
    const found = point.devices.find((each) => each.device === device);
    return causes.reduce((sum, cause) => sum + (found?.causes_s[CAUSES.indexOf(cause)] ?? 0), 0);
  };
  return rates(points, seconds, window).map((rate) => (rate === null ? null : Math.min(1, rate)));
}

export interface Load {
  imagesPerSecond: number;
  arrivalsPerSecond: number;
  etaSeconds: number | null; // until all that is accepted is finished, at this rate
  replayShare: number | null; // of launches in the last minute that a graph could have served
  packs: { size: number; count: number }[];
}

const WINDOW_S = 30;

export function load(book: Book): Load {
  const { points } = book;
  const since = book.t - WINDOW_S;
  const span = Math.min(WINDOW_S, Math.max(1, book.t - (points[0]?.t ?? 0)));
  const ended = book.pictures.filter(
    (each) => each.outcome === "finished" && each.submitted_s + each.total_ms / 1e3 > since,
  );
  const start = points.find((point) => point.t >= since) ?? points.at(-1);
  const imagesPerSecond = ended.length / span;
  const under = Math.max(book.queue.accepted, book.queue.waiting + book.queue.running);
  return {
    imagesPerSecond,
    arrivalsPerSecond: start ? Math.max(0, book.arrived - start.arrived) / span : 0,
    etaSeconds: under === 0 ? 0 : imagesPerSecond > 0 ? under / imagesPerSecond : null,
    replayShare: replayShare(book),
    packs: packs(book),
  };
}

function replayShare(book: Book): number | null {
  const since = (book.t - 60) * 1e3;
  let launches = 0;
  let replays = 0;
  for (const run of book.runs) {
    if (run.end < since || run.stage === "file") continue;
    if (book.devices.get(run.device)?.clock !== "device") continue;
    launches += 1;
    if (run.replayed) replays += 1;
  }
  return launches > 0 ? replays / launches : null;
}

function packs(book: Book): { size: number; count: number }[] {
  const counts = new Map<number, number>();
  for (const device of book.devices.values()) {
    for (const [size, count] of Object.entries(device.packs ?? {})) {
      counts.set(Number(size), (counts.get(Number(size)) ?? 0) + count);
    }
  }
  return [...counts].map(([size, count]) => ({ size, count })).sort((a, b) => a.size - b.size);
}

/** Mean steps of the last pictures whose callers left a range, and the most they would take. */
export function givenSteps(book: Book): { given: number; most: number } | null {
  const open = book.pictures.filter((picture) => picture.asked_steps).slice(-50);
  if (open.length === 0) return null;
  const mean = (value: (picture: Picture) => number) =>
    open.reduce((sum, picture) => sum + value(picture), 0) / open.length;
  return { given: mean((p) => p.steps), most: mean((p) => p.asked_steps?.[1] ?? p.steps) };
}
