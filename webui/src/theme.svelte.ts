/** Light, dark, or as the system says; public/theme.js applies it before the first paint. */

export type Theme = "system" | "light" | "dark";

const KEY = "mezzotint.theme";

class Choice {
  current = $state<Theme>(remembered());

  choose(theme: Theme): void {
    this.current = theme;
    if (theme === "system") {
      localStorage.removeItem(KEY);
      delete document.documentElement.dataset.theme;
    } else {
      localStorage.setItem(KEY, theme);
      document.documentElement.dataset.theme = theme;
    }
  }
}

function remembered(): Theme {
  const theme = localStorage.getItem(KEY);
  return theme === "light" || theme === "dark" ? theme : "system";
}

export const theme = new Choice();
