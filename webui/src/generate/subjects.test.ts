import { expect, test } from "vitest";
import { isUnknown, search } from "./subjects.ts";

const SUBJECTS = [
  { en: "butterfly", zh: "蝴蝶", names: ["butterfly", "蝴蝶"] },
  { en: "red apple", zh: "红苹果", names: ["red apple", "apple", "红苹果", "苹果"] },
  { en: "fox", zh: "狐狸", names: ["fox", "狐狸"] },
];

test.each([
  ["two butterflies in the sky", false],
  ["An APPLE.", false],
  ["foxes at night", false],
  ["一只狐狸", false],
  ["a portrait of a woman", true],
  ["firefox", true],
  ["   ", false],
])("%s: unknown is %s", (prompt, unknown) => {
  expect(isUnknown(prompt, SUBJECTS)).toBe(unknown);
});

test("a model without a list knows everything", () => {
  expect(isUnknown("anything", [])).toBe(false);
});

test("subjects are found in both languages", () => {
  expect(search("苹", SUBJECTS).map((s) => s.en)).toEqual(["red apple"]);
  expect(search(" FOX ", SUBJECTS).map((s) => s.en)).toEqual(["fox"]);
  expect(search("", SUBJECTS)).toHaveLength(3);
});
