// Before the first paint, so that a chosen theme does not flash in after the system's own.
try {
  const theme = localStorage.getItem("mezzotint.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  const language = localStorage.getItem("mezzotint.language") || navigator.language;
  document.documentElement.lang = language.startsWith("zh") ? "zh-CN" : "en";
} catch {
  // A browser that forbids storage shows the system's theme.
}
