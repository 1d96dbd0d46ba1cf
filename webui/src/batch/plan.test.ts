import { expect, test } from "vitest";
import type { ImageInfo, Job } from "../api/types.ts";
import { promptsOf, tally, tasksOf } from "./plan.ts";

const job = (state: Job["state"], pictures: number) =>
  ({
    state,
    images: Array.from({ length: pictures }, (_, index) => ({ index }) as ImageInfo),
  }) as Job;

test("a line is a prompt, in every system's line ends", () => {
  expect(promptsOf("a fox\r\n\n  一只猫  \n\t\n")).toEqual(["a fox", "一只猫"]);
  expect(promptsOf(" \n")).toEqual([]);
});

test("more seeds than a job may have make several jobs with consecutive seeds", () => {
  expect(tasksOf(["a", "b"], 12, 7, 10)).toEqual([
    { prompt: "a", seed: 7, count: 10 },
    { prompt: "a", seed: 17, count: 2 },
    { prompt: "b", seed: 7, count: 10 },
    { prompt: "b", seed: 17, count: 2 },
  ]);
});

test("random seeds stay random in each job", () => {
  expect(tasksOf(["a"], 12, -1, 10).map((task) => task.seed)).toEqual([-1, -1]);
});

test("a batch is over once every picture is made or lost", () => {
  const tasks = tasksOf(["a", "b", "c"], 4, -1, 10);
  const running = tally(tasks, [job("done", 4), job("running", 1), null]);
  expect(running).toMatchObject({ pictures: 12, made: 5, lost: 0, over: false });
  const over = tally(tasks, [job("done", 4), job("cancelled", 1), "refused"]);
  expect(over).toMatchObject({ pictures: 12, made: 5, lost: 7, over: true });
  expect(over.images).toHaveLength(5);
});
