/** Small histories and frames for the unit tests. */

import type { DeviceState, Frame, Picture, StatsHistory } from "./book.svelte.ts";

export function history(values: Partial<StatsHistory> = {}): StatsHistory {
  return {
    clock: "device",
    last_id: "0.0",
    zero_unix_s: 1000,
    t: 10,
    queue: { accepted: 0, waiting: 0, running: 0 },
    arrived: 0,
    outcomes: {},
    devices: [],
    points: [],
    requests: [],
    runs: [],
    pictures: [],
    ...values,
  };
}

export function frame(t: number, values: Partial<Frame> = {}): Frame {
  const queue = { accepted: 0, waiting: 0, running: 0 };
  return { t, queue, arrived: 0, outcomes: {}, missed: 0, ...values };
}

export function device(number: number, values: Partial<DeviceState> = {}): DeviceState {
  return { device: number, name: "NVIDIA H200", precision: "bf16", clock: "device", ...values };
}

export function picture(request: number, values: Partial<Picture> = {}): Picture {
  return {
    request,
    device: 0,
    outcome: "finished",
    width: 512,
    height: 512,
    steps: 8,
    submitted_s: 1,
    total_ms: 100,
    tflop: 10,
    stages_ms: { queue: 10, encode: 5, denoise: 70, decode: 10, file: 5, wait: 0 },
    ...values,
  };
}
