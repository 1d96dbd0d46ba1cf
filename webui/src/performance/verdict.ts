/** Whom a device waits for, and why that may be; the words are the component's. */

import type { Cause, DeviceState } from "./book.svelte.ts";

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

/** `alone`: no more than one picture is in flight. */
export function reason(device: DeviceState, alone: boolean): Reason {
  const { waits } = answer(device);
  if (waits === "no_work" || waits === "unknown") return "why_no_work";
  if (waits === "nobody") return alone ? "why_nobody_alone" : "why_nobody";
  if (waits === "host") return "why_host";
  if (device.clock === "host") return "why_cpu";
  return alone ? "why_alone" : "why_overlap";
}

/** Of several devices the one that waits most; idle ones only when all are. */
export function worst(devices: readonly DeviceState[]): DeviceState | null {
  const busy = devices.filter((device) => (answer(device).waits ?? "no_work") !== "no_work");
  const denoising = (device: DeviceState) => share(device, "denoise") / working(device);
  return busy.sort((a, b) => denoising(a) - denoising(b))[0] ?? devices[0] ?? null;
}

function share(device: DeviceState, cause: Cause): number {
  return device.balance?.shares[cause] ?? 0;
}

function working(device: DeviceState): number {
  return Math.max(0.0001, 1 - share(device, "idle"));
}
