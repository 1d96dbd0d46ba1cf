/** Which language the page speaks; remembered, and the browser's own at first. */

import { keep, recall } from "../kept.ts";

export type Language = "en" | "zh";

const KEY = "mezzotint.language";

class Choice {
  current = $state<Language>(remembered());

  choose(language: Language): void {
    this.current = language;
    keep(KEY, language);
    document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  }
}

function remembered(): Language {
  if (typeof document === "undefined") return "en"; // in unit tests
  const name = recall(KEY) ?? navigator.language;
  return name.startsWith("zh") ? "zh" : "en";
}

export const language = new Choice();
