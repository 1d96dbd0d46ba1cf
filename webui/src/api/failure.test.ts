import { afterEach, expect, test } from "vitest";
import { language } from "../text/language.svelte.ts";
import { failure } from "./failure.ts";

const PLAIN = "the picture carries no settings";
const refusal = (code: string, message: string) => failure(400, { error: { code, message } });

afterEach(() => {
  language.current = "en";
});

test("what everybody meets is said in both languages", () => {
  const long =
    "the prompt has 1537 tokens with its template and the limit is 512; shorten it by about 1025 tokens";
  expect(refusal("prompt_too_long", long).message).toBe(
    "The prompt is too long: 1,537 tokens, and the model takes 512. Shorten it.",
  );
  expect(refusal("no_settings", PLAIN).message).toMatch(/^This picture/);
  language.current = "zh";
  expect(refusal("prompt_too_long", long).message).toBe(
    "提示词过长：共 1,537 个 token，模型最多支持 512 个，请缩短。",
  );
  expect(refusal("no_settings", PLAIN).message).not.toMatch(/settings/);
});

test("the server's other sentences are told as its own", () => {
  const wrong = "width 100 is not a multiple of 16";
  expect(refusal("invalid_value", wrong).message).toBe(`The server refused this: ${wrong}`);
  expect(refusal("prompt_too_long", "too long").message).toBe("The server refused this: too long");
});
