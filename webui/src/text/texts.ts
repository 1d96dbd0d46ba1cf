/** Texts in both languages, side by side: one that lacks either is a type error. */

import { type Language, language } from "./language.svelte.ts";

// biome-ignore lint/suspicious/noExplicitAny: the arguments of a text are its own
type Text = string | ((...values: any[]) => string);
type Pair<T extends Text = Text> = Record<Language, T>;
type Texts<P extends Record<string, Pair>> = { readonly [K in keyof P]: Widened<P[K]["en"]> };
type Widened<T> = T extends string ? string : T;

/** What a component reads: each name gives the text in the language that is chosen now. */
export function texts<const P extends Record<string, Pair>>(pairs: P & Alike<P>): Texts<P> {
  const chosen = {};
  for (const [name, pair] of Object.entries<Pair>(pairs)) {
    Object.defineProperty(chosen, name, { get: () => pair[language.current], enumerable: true });
  }
  return chosen as Texts<P>;
}

/** Both languages of a text take the same values. */
type Alike<P extends Record<string, Pair>> = {
  [K in keyof P]: P[K]["en"] extends string
    ? Record<Language, string>
    : Record<
        Language,
        (...values: Parameters<Extract<P[K]["en"], (...v: never[]) => string>>) => string
      >;
};
