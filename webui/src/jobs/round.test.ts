import { expect, test } from "vitest";
import type { ImageInfo, Job } from "../api/types.ts";
import { NO_ROUND, next, type Round } from "./round.ts";

const job = (id: string, state: Job["state"], pictures = 0, error: string | null = null) =>
  ({
    ...{ id, state, error },
    images: Array.from({ length: pictures }, () => ({}) as ImageInfo),
  }) as Job;
const old = job("old", "done", 4);
const tell = (looks: Job[][], from: Round = NO_ROUND) =>
  looks.reduce((round, jobs) => next(round, [...jobs, old], [], false), from);

test("what was made before the page was opened is no news", () => {
  expect(tell([[], []])).toBe(NO_ROUND);
});

test("a round goes from the line to its pictures", () => {
  const looks = [[job("a", "queued")], [job("a", "running"), job("b", "queued")]];
  expect(tell(looks.slice(0, 1)).standing).toEqual({ state: "queued" });
  expect(tell(looks).standing).toEqual({ state: "running", more: true });
  const over = tell([...looks, [job("a", "done", 2), job("b", "done", 1)]]);
  expect(over.standing).toEqual({ state: "done", pictures: 3 });
  expect(tell([[job("a", "done", 2)]], over)).toBe(over); // b was deleted: nothing new
  expect(tell([[job("c", "queued")], [job("c", "done", 1)]], over).standing).toEqual({
    ...{ state: "done", pictures: 1 },
  });
});

test("a job that was over before anybody looked counts too", () => {
  expect(next(NO_ROUND, [job("a", "done", 1)], ["a"], false).standing).toEqual({
    ...{ state: "done", pictures: 1 },
  });
});

test("between two jobs it goes on running", () => {
  const between = [job("a", "done", 1), job("b", "queued")];
  expect(tell([[job("a", "running")], between]).standing).toEqual({ state: "running", more: true });
});

test("a batch that has more to ask for is not over", () => {
  expect(next(NO_ROUND, [job("a", "done", 1)], ["a"], true).standing).toEqual({ state: "queued" });
});

test("a failure says its sentence; nothing at all is a cancellation", () => {
  const failed = [job("a", "failed", 0, "no room"), job("b", "done", 1)];
  expect(tell([[job("a", "queued")], failed]).standing).toEqual({
    ...{ state: "failed", error: "no room" },
  });
  expect(tell([[job("a", "queued")], [job("a", "cancelled")]]).standing).toEqual({
    state: "cancelled",
  });
});
