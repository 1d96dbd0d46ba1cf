import { expect, expectTypeOf, test } from "vitest";
import { language } from "./language.svelte.ts";
import { texts } from "./texts.ts";

test("a text follows the language that is chosen", () => {
  const t = texts({
    run: { en: "Generate", zh: "生成" },
    many: { en: (n: number) => `${n} pictures`, zh: (n: number) => `${n} 张图片` },
  });
  language.current = "en";
  expect([t.run, t.many(2)]).toEqual(["Generate", "2 pictures"]);
  language.current = "zh";
  expect([t.run, t.many(2)]).toEqual(["生成", "2 张图片"]);
  expectTypeOf(t.run).toEqualTypeOf<string>();
  expectTypeOf(t.many).parameters.toEqualTypeOf<[number]>();
});

test("a missing text is a type error", () => {
  // svelte-check fails when one of these is none
  // @ts-expect-error no Chinese
  texts({ run: { en: "Generate" } });
  // @ts-expect-error no English
  texts({ run: { zh: "生成" } });
  // @ts-expect-error a number where the English takes a number, and a word in Chinese
  texts({ run: { en: (n: number) => `${n}`, zh: (n: string) => n } });
});
