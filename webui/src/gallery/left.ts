/** Where the gallery was left: the browser's Back leads there again, a link to its top. */

interface Left {
  top: number; // px that the window was scrolled
  count: number; // of pictures that had been read
}

let visit = 0; // the entry of the history that the gallery is at, or was last
let left: Left = { top: 0, count: 0 };

const here = () => (history.state as { gallery?: number } | null)?.gallery;

/** Come to the gallery. -> where it was left, if this is a way back; else null. */
export function arrive(): Left | null {
  if (visit > 0 && here() === visit) return left;
  visit = Date.now();
  left = { top: 0, count: 0 };
  history.replaceState({ ...history.state, gallery: visit }, "");
  return null;
}

/** Note where it is; what scrolls once the browser has gone on is another page's. */
export function note(place: Left): void {
  if (here() === visit) left = place;
}
