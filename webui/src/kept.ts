/** What this browser keeps for the page from one visit to the next. */

/** What was kept by this name; null: nothing, or the browser forbids it. */
export function recall(name: string): string | null {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

/** Keep a text, or null for none. Of what is more than a browser keeps nothing stays, nor the old. */
export function keep(name: string, text: string | null): void {
  const kept = text !== null && done(() => localStorage.setItem(name, text));
  if (!kept) done(() => localStorage.removeItem(name));
}

/** Whether the browser did it: it may be full, or forbid it. */
function done(work: () => void): boolean {
  try {
    work();
    return true;
  } catch {
    return false;
  }
}
