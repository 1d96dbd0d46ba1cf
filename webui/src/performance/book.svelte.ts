/** What the page knows of the server's work: the history it read, and every frame since. */

import type { Schemas } from "../api/client.ts";

export type Frame = Schemas["Frame"];
export type StatsHistory = Schemas["StatsHistory"];
export type DeviceState = Schemas["DeviceState"];
export type Picture = Schemas["FramePicture"];
export type Point = Schemas["Point"];

export const STAGES = ["encode", "denoise", "decode", "file"] as const;
export type Stage = (typeof STAGES)[number];
export const CAUSES = ["denoise", "encode", "decode", "file", "host", "idle"] as const;
export type Cause = (typeof CAUSES)[number];

/** One launch; times in ms since the stream's zero. */
export interface Run {
  device: number;
  stage: Stage;
  start: number;
  end: number;
  replayed: boolean;
  members: readonly Member[];
}

/** A request's part in a run: the step it has done once it ran. */
export interface Member {
  request: number;
  step: number;
}

/** What a request asked for. */
export interface Asked {
  width: number; // px
  height: number; // px
  steps: number;
}

const MAX_RUNS = 8192;
const MAX_PICTURES = 1024;
const MAX_REQUESTS = 2048;
const MAX_POINTS = 300; // ten minutes
const POINT_S = 2;

export class Book {
  t = 0; // s since the stream's zero: the newest frame's
  zeroUnix = 0; // s since 1970
  clock: "host" | "device" = "host";
  recorded: string | null = null;
  queue = { accepted: 0, waiting: 0, running: 0 };
  arrived = 0;
  outcomes: Record<string, number> = {};
  missed = 0; // runs that were left out since the page was opened
  runs: Run[] = []; // as they ended
  pictures: Picture[] = []; // as they ended
  points: readonly Point[] = [];
  private version = $state(0);
  readonly asked = new Map<number, Asked>();
  readonly devices = new Map<number, DeviceState>();

  /** The book itself, for who must be drawn again when it has changed. */
  get now(): this {
    void this.version;
    return this;
  }

  /** Begin anew from a history. */
  load(history: StatsHistory): void {
    this.t = history.t;
    this.zeroUnix = history.zero_unix_s;
    this.clock = history.clock;
    this.recorded = history.recorded ?? null;
    this.queue = history.queue;
    this.arrived = history.arrived;
    this.outcomes = history.outcomes;
    this.missed = 0;
    this.points = [...history.points];
    this.pictures = [...history.pictures];
    this.asked.clear();
    this.devices.clear();
    for (const device of history.devices) this.devices.set(device.device, device);
    this.note(history.requests);
    this.runs = history.runs.map(runOf);
    this.version += 1;
  }

  /** Take in the next frame. */
  add(frame: Frame): void {
    this.t = frame.t;
    this.queue = frame.queue;
    this.arrived = frame.arrived;
    this.outcomes = frame.outcomes;
    this.missed += frame.missed ?? 0;
    for (const change of frame.devices ?? []) {
      this.devices.set(change.device, { ...this.devices.get(change.device), ...change });
      if (change.clock) this.clock = change.clock;
    }
    this.note(frame.requests ?? []);
    for (const run of frame.runs ?? []) this.runs.push(runOf(run));
    this.pictures.push(...(frame.pictures ?? []));
    trim(this.runs, MAX_RUNS);
    trim(this.pictures, MAX_PICTURES);
    const last = this.points.at(-1);
    if (!last || this.t - last.t >= POINT_S) {
      // A new list: what is drawn of the old one stands as long as the list is the same.
      this.points = [...this.points.slice(1 - MAX_POINTS), this.point()];
    }
    this.version += 1; // at most four times a second: so often the server sends
  }

  /** Every device, in order. */
  get deviceList(): DeviceState[] {
    return [...this.devices.values()].sort((a, b) => a.device - b.device);
  }

  private note(requests: readonly (readonly [number, number, number, number])[]): void {
    for (const [request, width, height, steps] of requests) {
      this.asked.set(request, { width, height, steps });
    }
    for (const request of this.asked.keys()) {
      if (this.asked.size <= MAX_REQUESTS) break;
      this.asked.delete(request);
    }
  }

  private point(): Point {
    const { t, queue, arrived, outcomes } = this;
    return { t, queue, arrived, outcomes, devices: this.deviceList.map(devicePoint) };
  }
}

function runOf(run: NonNullable<Frame["runs"]>[number]): Run {
  const [device, stage, start, length, replayed, flat] = run;
  const members: Member[] = [];
  for (let i = 0; i + 1 < flat.length; i += 2) {
    members.push({ request: flat[i] as number, step: flat[i + 1] as number });
  }
  return {
    device,
    stage: STAGES[stage] ?? "denoise",
    start,
    end: start + length,
    replayed: replayed === 1,
    members,
  };
}

function devicePoint(state: DeviceState): Point["devices"][number] {
  const total = (counts: Record<string, number> | null | undefined) =>
    Object.values(counts ?? {}).reduce((sum, count) => sum + count, 0);
  return {
    device: state.device,
    causes_s: CAUSES.map((cause) => state.causes_s?.[cause] ?? 0),
    launches: total(state.launches),
    replays: total(state.replays),
    utilization: state.gpu?.utilization ?? null,
    memory_used_bytes: state.gpu?.memory_used_bytes ?? null,
    power_watts: state.gpu?.power_watts ?? null,
    clock_mhz: state.gpu?.clock_mhz ?? null,
  };
}

function trim(list: unknown[], most: number): void {
  // By an eighth at once: cutting a little off at every frame would move all of it each time.
  if (list.length > most + most / 8) list.splice(0, list.length - most);
}
