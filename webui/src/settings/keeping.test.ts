import { expect, test } from "vitest";
import { deletesMore } from "./keeping.ts";

test.each([
  ["keep_pictures", 0, 1, true],
  ["keep_pictures", 100, 99, true],
  ["keep_days", 30, 31, false],
  ["keep_gib", 0.5, 0.25, true],
  ["keep_days", 30, 0, false], // for ever
  ["keep_gib", 1, 1, false],
  ["max_queue", 64, 1, false],
])("%s from %s to %s deletes more: %s", (name, now, next, more) => {
  expect(deletesMore(name, now, next)).toBe(more);
});
