/** Draws the timeline on a canvas. */

import type { Asked } from "./book.svelte.ts";
import type { Palette } from "./colours.ts";
import { AXIS, type Box, type Row, ticks, type View } from "./timeline.ts";

export interface Scene {
  view: View;
  width: number; // px
  height: number;
  rows: readonly Row[];
  boxes: readonly Box[];
  asked: ReadonlyMap<number, Asked>;
  device: (number: number) => { graphs: boolean }; // whether eager ones are told from replays
  now: number; // ms since the stream's zero
  chosen: number | null; // a request; the others are paler
  hovered: Box | null;
  timeOf: (ms: number, step: number) => string;
}

const FONT = "11px system-ui, sans-serif";
const LABEL_PX = 24; // least width of a span that carries a label

export function paint(context: CanvasRenderingContext2D, scene: Scene, palette: Palette): void {
  const ratio = window.devicePixelRatio || 1;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, scene.width, scene.height);
  context.font = FONT;
  context.textBaseline = "middle";
  paintGround(context, scene, palette);
  for (const box of scene.boxes) paintBox(context, box, scene, palette);
  paintNow(context, scene, palette);
  if (scene.hovered) paintFrame(context, scene.hovered, palette.ink);
}

function paintGround(context: CanvasRenderingContext2D, scene: Scene, palette: Palette): void {
  for (const row of scene.rows) {
    context.fillStyle = palette.raised;
    context.fillRect(0, row.top, scene.width, row.height);
  }
  context.lineWidth = 1;
  for (const { at, step } of ticks(scene.view, scene.width, 90)) {
    const x = Math.round(xOf(at, scene)) + 0.5;
    context.strokeStyle = palette.line;
    context.beginPath();
    context.moveTo(x, AXIS - 5);
    context.lineTo(x, scene.height);
    context.stroke();
    context.fillStyle = palette["ink-soft"];
    const text = scene.timeOf(at, step);
    if (x + 4 + context.measureText(text).width < scene.width) {
      context.fillText(text, x + 4, AXIS / 2);
    }
  }
}

function paintBox(
  context: CanvasRenderingContext2D,
  box: Box,
  scene: Scene,
  palette: Palette,
): void {
  const { members } = box.run;
  const mine = scene.chosen === null || members.some((m) => m.request === scene.chosen);
  context.globalAlpha = mine ? 1 : 0.22;
  const left = Math.max(-2, box.x);
  const right = Math.min(scene.width + 2, box.x + box.width);
  const inset = right - left > 4 ? 0.5 : 0; // so that neighbours do not melt into one
  const width = Math.max(1, right - left - inset);
  const count = Math.max(1, members.length);
  const band = box.height / count;
  for (let i = 0; i < count; i += 1) {
    const member = members[i];
    context.fillStyle = member ? palette.request(member.request) : palette["stage-wait"];
    const paler = scene.chosen !== null && mine && member?.request !== scene.chosen;
    context.globalAlpha = mine ? (paler ? 0.35 : 1) : 0.22;
    context.fillRect(left, box.y + i * band, width, Math.max(1, band - (count > 1 ? 0.5 : 0)));
  }
  context.globalAlpha = mine ? 1 : 0.22;
  const eager = scene.device(box.run.device).graphs && !box.run.replayed;
  if (eager && box.run.stage !== "file") hatch(context, left, box, width, palette);
  if (count > 1 && width > 7) bracket(context, left, box, width, palette);
  if (width >= LABEL_PX && box.height >= 11) {
    write(context, labelOf(box, scene), left + 4, box, width - 6);
  }
  context.globalAlpha = 1;
}

/** Not from a graph: stripes across it. */
function hatch(
  context: CanvasRenderingContext2D,
  left: number,
  box: Box,
  width: number,
  palette: Palette,
): void {
  context.save();
  context.beginPath();
  context.rect(left, box.y, width, box.height);
  context.clip();
  context.strokeStyle = palette.sheet;
  context.lineWidth = 1.5;
  context.beginPath();
  const offset = 6 - (((box.y % 6) + 6) % 6);
  for (let x = left - box.height - offset; x < left + width; x += 6) {
    context.moveTo(x, box.y + box.height);
    context.lineTo(x + box.height, box.y);
  }
  context.stroke();
  context.restore();
}

/** Several requests in one launch: a bar at its start joins them. */
function bracket(
  context: CanvasRenderingContext2D,
  left: number,
  box: Box,
  width: number,
  palette: Palette,
): void {
  context.fillStyle = palette.ink;
  context.fillRect(left, box.y, Math.min(2, width), box.height);
}

function write(
  context: CanvasRenderingContext2D,
  text: string,
  x: number,
  box: Box,
  room: number,
): void {
  const wide = context.measureText(text).width;
  if (wide > room) return;
  context.fillStyle = "#0a1413";
  context.fillText(text, x, box.y + box.height / 2 + 0.5);
}

function labelOf(box: Box, scene: Scene): string {
  const { members, stage } = box.run;
  if (members.length > 1) return `×${members.length}`;
  const member = members[0];
  if (!member) return "";
  if (stage !== "denoise") return `#${member.request}`;
  const steps = scene.asked.get(member.request)?.steps;
  return steps ? `${member.step}/${steps}` : `${member.step}`;
}

function paintNow(context: CanvasRenderingContext2D, scene: Scene, palette: Palette): void {
  const x = Math.round(xOf(scene.now, scene)) + 0.5;
  if (x < 0 || x > scene.width) return;
  context.fillStyle = palette.sheet;
  context.globalAlpha = 0.6;
  context.fillRect(x, AXIS, scene.width - x, scene.height);
  context.globalAlpha = 1;
  context.strokeStyle = palette.accent;
  context.beginPath();
  context.moveTo(x, AXIS - 5);
  context.lineTo(x, scene.height);
  context.stroke();
}

function paintFrame(context: CanvasRenderingContext2D, box: Box, colour: string): void {
  context.strokeStyle = colour;
  context.lineWidth = 1.5;
  context.strokeRect(box.x - 0.5, box.y - 0.5, Math.max(2, box.width) + 1, box.height + 1);
}

function xOf(ms: number, scene: Scene): number {
  return ((ms - scene.view.from) / (scene.view.to - scene.view.from)) * scene.width;
}
