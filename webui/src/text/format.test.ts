import { beforeEach, expect, test } from "vitest";
import { bytes, duration, number } from "./format.ts";
import { language } from "./language.svelte.ts";

beforeEach(() => {
  language.current = "en";
});

test.each([
  [0.4804, "480 ms", "480 毫秒"],
  [3.21, "3.2 s", "3.2 秒"],
  [42.4, "42 s", "42 秒"],
  [80, "1 min 20 s", "1 分 20 秒"],
  [59.7, "60 s", "60 秒"],
  [119.7, "2 min 0 s", "2 分 0 秒"],
])("%s seconds", (seconds, en, zh) => {
  expect(duration(seconds)).toBe(en);
  language.current = "zh";
  expect(duration(seconds)).toBe(zh);
});

test.each([
  [0, "0 B"],
  [999, "999 B"],
  [1000, "1 kB"],
  [999_499, "999 kB"],
  [1_440_000, "1.4 MB"],
  [33_000_000_000, "33 GB"],
])("%s bytes", (value, text) => {
  expect(bytes(value)).toBe(text);
});

test("numbers are grouped", () => {
  expect(number(12345)).toBe("12,345");
});
