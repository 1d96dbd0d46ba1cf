import { expect, test } from "vitest";
import type { Book, DeviceState, Point } from "./book.svelte.ts";
import { device } from "./fixtures.ts";
import { answer, mostInFlight, reason, worst } from "./verdict.ts";

type Balance = NonNullable<DeviceState["balance"]>;

function waiting(
  number: number,
  waits_for: Balance["waits_for"],
  shares: Balance["shares"],
  values: Partial<DeviceState> = {},
): DeviceState {
  return device(number, { balance: { waits_for, shares }, ...values });
}

test("the share is of the time in which there was work", () => {
  const half = waiting(0, "vae", { denoise: 0.3, decode: 0.2, idle: 0.5 });
  expect(answer(half)).toEqual({ waits: "vae", share: 0.4 });
  expect(answer(waiting(0, "nobody", { denoise: 0.95, idle: 0 })).share).toBeCloseTo(0.95);
  expect(answer(waiting(0, "no_work", { idle: 1 }))).toEqual({ waits: "no_work", share: 0 });
  expect(answer(device(0)).waits).toBe("unknown");
});

test("the reason differs where pictures come alone, and on a CPU", () => {
  const vae = waiting(0, "vae", { denoise: 0.7, decode: 0.3 });
  expect(reason(vae, false)).toBe("why_overlap");
  expect(reason(vae, true)).toBe("why_alone");
  expect(reason({ ...vae, clock: "host" }, false)).toBe("why_cpu");
  expect(reason(waiting(0, "host", { host: 0.5 }), true)).toBe("why_host");
  expect(reason(waiting(0, "nobody", { denoise: 1 }), true)).toBe("why_nobody_alone");
  expect(reason(waiting(0, "nobody", { denoise: 1 }), false)).toBe("why_nobody");
  expect(reason(device(0), false)).toBe("why_no_work");
});

test("pictures come alone only when ten seconds saw no two of them", () => {
  const queue = (running: number, waiting: number, accepted = 0) => ({
    running,
    waiting,
    accepted,
  });
  const point = (t: number, now: Book["queue"]): Point => ({
    ...{ t, queue: now, arrived: 0, outcomes: {}, devices: [] },
  });
  const points = [point(88, queue(9, 0)), point(93, queue(1, 1)), point(96, queue(1, 0))];
  expect(mostInFlight({ t: 100, queue: queue(0, 0), points })).toBe(2);
  expect(mostInFlight({ t: 105, queue: queue(1, 0), points })).toBe(1);
  expect(mostInFlight({ t: 105, queue: queue(1, 0, 3), points })).toBe(3); // two stand in the line
  expect(mostInFlight({ t: 200, queue: queue(0, 0), points })).toBe(0);
});

test("of several devices the one that loses most time speaks, or the busiest", () => {
  const idle = waiting(0, "no_work", { idle: 1 });
  const good = waiting(1, "nobody", { denoise: 0.96, host: 0.04 });
  const bad = waiting(2, "vae", { denoise: 0.4, decode: 0.1, idle: 0.5 });
  const resting = waiting(3, "host", { denoise: 0.01, host: 0.03, idle: 0.96 });
  expect(worst([idle, good, bad, resting])?.device).toBe(2);
  expect(worst([idle, good, resting])?.device).toBe(1);
  expect(worst([idle, resting])?.device).toBe(3);
  expect(worst([idle])?.device).toBe(0);
  expect(worst([device(7)])?.device).toBe(7);
  expect(worst([])).toBeNull();
});
