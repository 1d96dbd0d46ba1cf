/** Whom a device waits for, and why that may be; the words are the component's. */

import type { Book, Cause, DeviceState } from "./book.svelte.ts";

const OF = {
  nobody: "denoise",
  text_encoder: "encode",
  vae: "decode",
  file: "file",
  host: "host",
} as const;

export type Waits = keyof typeof OF | "no_work" | "unknown";
export type Reason =
  | "why_no_work"
  | "why_nobody"
  | "why_nobody_alone"
  | "why_host"
  | "why_cpu"
  | "why_alone"
  | "why_overlap";

/** Whom, and for which share of the time in which there was work. */
export function answer(device: DeviceState): { waits: Waits; share: number } {
  const balance = device.balance;
  if (!balance) return { waits: "unknown", share: 0 };
  const waits = balance.waits_for;
  if (waits === "no_work") return { waits, share: 0 };
  return { waits, share: (balance.shares[OF[waits]] ?? 0) / working(device) };
}

const LOOK_S = 10; // what a balance is of too

/** The most pictures that were in flight at once: one moment's queue would say one thing, then another. */
export function mostInFlight({ t, queue, points }: Pick<Book, "t" | "queue" | "points">): number {
  const recent = points.filter((point) => point.t >= t - LOOK_S).map((point) => point.queue);
  return Math.max(
    ...[queue, ...recent].map((now) => Math.max(now.running + now.waiting, now.accepted)),
  );
}

/** `alone`: no more than one picture is in flight. */
export function reason(device: DeviceState, alone: boolean): Reason {
  const { waits } = answer(device);
  if (waits === "no_work" || waits === "unknown") return "why_no_work";
  if (waits === "nobody") return alone ? "why_nobody_alone" : "why_nobody";
  if (waits === "host") return "why_host";
  if (device.clock === "host") return "why_cpu";
  return alone ? "why_alone" : "why_overlap";
}

const FELT = 0.05; // of the time: less than that is nobody's concern

/** Of several devices the one that loses most time to waiting; if none does, the busiest. */
export function worst(devices: readonly DeviceState[]): DeviceState | null {
  const lost = (device: DeviceState) => 1 - share(device, "idle") - share(device, "denoise");
  const known = devices.filter((device) => device.balance);
  const [most] = [...known].sort((a, b) => lost(b) - lost(a));
  if (most && lost(most) >= FELT) return most;
  const [busiest] = [...known].sort((a, b) => share(b, "denoise") - share(a, "denoise"));
  return busiest ?? devices[0] ?? null;
}

function share(device: DeviceState, cause: Cause): number {
  return device.balance?.shares[cause] ?? 0;
}

function working(device: DeviceState): number {
  return Math.max(0.0001, 1 - share(device, "idle"));
}
