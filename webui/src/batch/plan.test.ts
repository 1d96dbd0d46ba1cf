import { expect, test } from "vitest";
import type { ImageInfo, Job } from "../api/types.ts";
import { promptsOf, refusedLines, tally, tasksOf } from "./plan.ts";

const job = (state: Job["state"], pictures: number) =>
  ({
    state,
    images: Array.from({ length: pictures }, (_, index) => ({ index }) as ImageInfo),
  }) as Job;

test("a line is a prompt, in every system's line ends", () => {
  expect(promptsOf("a fox\r\n\n  一只猫  \n\t\n")).toEqual([
    { text: "a fox", line: 1 },
    { text: "一只猫", line: 3 },
  ]);
  expect(promptsOf(" \n")).toEqual([]);
});

test("more seeds than a job may have make several jobs with consecutive seeds", () => {
  expect(tasksOf(promptsOf("a\n\nb"), 12, 7, 10)).toEqual([
    { prompt: "a", line: 1, seed: 7, count: 10 },
    { prompt: "a", line: 1, seed: 17, count: 2 },
    { prompt: "b", line: 3, seed: 7, count: 10 },
    { prompt: "b", line: 3, seed: 17, count: 2 },
  ]);
});

test("random seeds stay random in each job", () => {
  expect(tasksOf(promptsOf("a"), 12, -1, 10).map((task) => task.seed)).toEqual([-1, -1]);
});

test("a batch is over once every picture is made or lost", () => {
  const tasks = tasksOf(promptsOf("a\nb\nc"), 4, -1, 10);
  const running = tally(tasks, [job("done", 4), job("running", 1), null]);
  expect(running).toMatchObject({ pictures: 12, made: 5, inLine: 0, lost: 0, over: false });
  const waiting = tally(tasks, [job("running", 1), job("queued", 0), job("queued", 0)]);
  expect(waiting).toMatchObject({ made: 1, inLine: 8, over: false });
  const over = tally(tasks, [job("done", 4), job("cancelled", 1), "refused"]);
  expect(over).toMatchObject({ pictures: 12, made: 5, lost: 7, over: true });
  expect(over.images).toHaveLength(5);
});

test("a refused line is named by its number in the text, once", () => {
  const tasks = tasksOf(promptsOf("a\n\nb\nc"), 12, -1, 10);
  expect(refusedLines(tasks, { 2: "too long", 3: "too long", 5: "deleted" })).toEqual([
    { line: 3, reason: "too long" },
    { line: 4, reason: "deleted" },
  ]);
  const old = tasks.map(({ prompt, seed, count }) => ({ prompt, seed, count }));
  expect(refusedLines(old, { 2: "too long" })).toEqual([{ line: 3, reason: "too long" }]);
});
