/** Where the keyboard goes on when what had the focus is gone. */

/** Focus an element, or the page's content if it is gone or was nothing: never the bare document. */
export function focusOn(element: Element | null | undefined): void {
  const there = element instanceof HTMLElement && element.isConnected && element !== document.body;
  (there ? element : document.getElementById("content"))?.focus({ preventScroll: !there });
}
