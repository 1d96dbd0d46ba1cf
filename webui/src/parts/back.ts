/**
 * The browser's Back closes what lies over the page: a dialog is an entry of the history. One that
 * is closed otherwise takes its entry along, so that Back never does nothing.
 */

interface Place {
  over?: number; // dialogs that lie over the page at this entry
}

const closers: (() => void)[] = []; // of the open dialogs, the topmost last
let returning = false; // we asked for entries to be left and the browser has not done it yet

export const isOver = () => here() > 0;
const here = () => (history.state as Place | null)?.over ?? 0;

addEventListener("popstate", () => {
  if (returning) {
    returning = false;
    enter(); // a dialog may have been opened meanwhile
  } else {
    while (closers.length > here()) closers.pop()?.();
  }
  settle();
});

/** An entry for each dialog that has none. */
function enter(): void {
  for (let over = here() + 1; over <= closers.length; over += 1) {
    // Coming back must not scroll: what was closed may have sent one to another place.
    history.scrollRestoration = "manual";
    history.pushState({ ...history.state, over } satisfies Place, "");
  }
}

/** Leave the entries of dialogs that are closed. */
function settle(): void {
  const left = here() - closers.length;
  if (returning) return;
  if (left > 0) {
    returning = true;
    history.go(-left);
  } else if (closers.length === 0) setTimeout(freely); // by then the browser has come back
}

function freely(): void {
  if (closers.length === 0 && !returning) history.scrollRestoration = "auto";
}

settle(); // after a reload nothing lies over the page any more

/** Have Back call `close`. -> to be called once it is closed, however that was. */
export function closeOnBack(close: () => void): () => void {
  closers.push(close);
  if (!returning) enter();
  return () => {
    const at = closers.indexOf(close);
    if (at !== -1) closers.splice(at, 1);
    queueMicrotask(settle); // whoever closes it may go to another page in the same breath
  };
}
