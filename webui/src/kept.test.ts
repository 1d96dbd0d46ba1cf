import { afterEach, expect, test, vi } from "vitest";
import { keep, recall } from "./kept.ts";

const ROOM = 10; // characters

function browser(): void {
  const texts = new Map<string, string>();
  vi.stubGlobal("localStorage", {
    getItem: (name: string) => texts.get(name) ?? null,
    removeItem: (name: string) => texts.delete(name),
    setItem: (name: string, text: string) => {
      if (text.length > ROOM) throw new Error("full");
      texts.set(name, text);
    },
  });
}

afterEach(() => {
  vi.unstubAllGlobals();
});

test("a text is kept until there is none", () => {
  browser();
  keep("a", "one");
  expect(recall("a")).toBe("one");
  keep("a", null);
  expect(recall("a")).toBeNull();
});

test("of what there is no room for nothing stays, nor the old", () => {
  browser();
  keep("a", "one");
  keep("a", "much more than that");
  expect(recall("a")).toBeNull();
});

test("a browser that forbids it keeps nothing, and the page goes on", () => {
  vi.stubGlobal("localStorage", undefined);
  keep("a", "one");
  expect(recall("a")).toBeNull();
});
