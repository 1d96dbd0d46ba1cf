/** Light, dark, or as the system says; public/theme.js applies it before the first paint. */

import { keep, recall } from "./kept.ts";

export type Theme = "system" | "light" | "dark";

const KEY = "mezzotint.theme";

class Choice {
  current = $state<Theme>(remembered());

  choose(theme: Theme): void {
    this.current = theme;
    keep(KEY, theme === "system" ? null : theme);
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  }
}

function remembered(): Theme {
  const theme = recall(KEY);
  return theme === "light" || theme === "dark" ? theme : "system";
}

export const theme = new Choice();
