/** Where the timeline's spans lie, and which one is under the pointer. No drawing here. */

import { type Book, type Run, STAGES, type Stage } from "./book.svelte.ts";

export interface View {
  from: number; // ms since the stream's zero
  to: number;
}

export interface Row {
  device: number;
  stage: Stage;
  top: number; // px
  height: number; // px
}

export interface Box {
  run: Run;
  row: Row;
  x: number;
  y: number;
  width: number;
  height: number;
}

export const AXIS = 22; // px, above the rows
const GAP = 10; // px, between devices
const MIN_MS = 2;
const MAX_MS = 120_000;
const UNORDERED_MS = 2000;
const LANES = 3; // files are written side by side
const LISTED = 60;

/** A row a stream and device; lower ones where there are many. */
export function rowsOf(devices: readonly number[]): Row[] {
  const height =
    devices.length <= 1 ? 28 : devices.length <= 2 ? 20 : devices.length <= 4 ? 15 : 11;
  const rows: Row[] = [];
  let top = AXIS;
  for (const device of devices) {
    for (const stage of STAGES) {
      const own = stage === "denoise" ? Math.round(height * 1.5) : height;
      rows.push({ device, stage, top, height: own });
      top += own + 2;
    }
    top += GAP;
  }
  return rows;
}

export function heightOf(rows: readonly Row[]): number {
  const last = rows.at(-1);
  return last ? last.top + last.height + 6 : AXIS + 60;
}

/** The boxes that show in a view, at most one a pixel and row. */
export function boxes(book: Book, rows: readonly Row[], view: View, width: number): Box[] {
  const scale = width / (view.to - view.from);
  const byKey = new Map(rows.map((row) => [`${row.device} ${row.stage}`, row]));
  const lastX = new Map<Row, number>();
  const lanes = new Map<Row, number[]>();
  const found: Box[] = [];
  for (let i = firstOf(book.runs, view.from); i < book.runs.length; i += 1) {
    const run = book.runs[i] as Run;
    if (run.end < view.from || run.start > view.to) continue;
    const row = byKey.get(`${run.device} ${run.stage}`);
    if (!row) continue;
    const x = (run.start - view.from) * scale;
    const end = (run.end - view.from) * scale;
    const last = lastX.get(row) ?? Number.NEGATIVE_INFINITY;
    if (end - last < 0.75 && run.stage !== "file") continue; // beneath what was drawn
    lastX.set(row, Math.max(last, end));
    const lane = run.stage === "file" ? laneOf(lanes, row, run) : 0;
    const height = run.stage === "file" ? row.height / LANES : row.height;
    const y = row.top + lane * height;
    found.push({ run, row, x, y, width: Math.max(1, end - x), height });
  }
  return found;
}

/** Runs come as they end, give or take how often their devices tell of them. */
function firstOf(runs: readonly Run[], from: number): number {
  let i = runs.length;
  while (i > 0 && (runs[i - 1] as Run).end >= from - UNORDERED_MS) i -= 1;
  return i;
}

function laneOf(lanes: Map<Row, number[]>, row: Row, run: Run): number {
  const ends = lanes.get(row) ?? Array<number>(LANES).fill(Number.NEGATIVE_INFINITY);
  lanes.set(row, ends);
  const free = ends.findIndex((end) => end <= run.start);
  const lane = free < 0 ? ends.indexOf(Math.min(...ends)) : free;
  ends[lane] = run.end;
  return lane;
}

/** The newest runs, newest first; of a view that was paused, the newest that had begun by its end. */
export function listed(runs: readonly Run[], paused: View | null): Run[] {
  const begun = paused === null ? runs : runs.filter((run) => run.start <= paused.to);
  return begun.slice(-LISTED).reverse();
}

/** The box under a point, or the nearest in its row within `slack` px. */
export function hit(found: readonly Box[], x: number, y: number, slack: number): Box | null {
  let best: Box | null = null;
  let distance = slack;
  for (const box of found) {
    if (y < box.y || y > box.y + box.height) continue;
    const away = Math.max(box.x - x, x - box.x - box.width, 0);
    if (away <= distance) {
      best = box;
      distance = away;
    }
  }
  return best;
}

/** The same view, `factor` times as long, with one moment staying where it is. */
export function zoomed(view: View, factor: number, around: number): View {
  const length = Math.min(MAX_MS, Math.max(MIN_MS, (view.to - view.from) * factor));
  const share = (around - view.from) / (view.to - view.from);
  const from = around - share * length;
  return { from, to: from + length };
}

export function moved(view: View, ms: number): View {
  return { from: view.from + ms, to: view.to + ms };
}

/** Round moments to write on the axis, at least `space` px apart. */
export function ticks(view: View, width: number, space: number): { at: number; step: number }[] {
  const least = ((view.to - view.from) / width) * space;
  const power = 10 ** Math.floor(Math.log10(least));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= least) ?? 10 * power;
  const marks: { at: number; step: number }[] = [];
  for (let at = Math.ceil(view.from / step) * step; at <= view.to; at += step) {
    marks.push({ at, step });
  }
  return marks;
}
