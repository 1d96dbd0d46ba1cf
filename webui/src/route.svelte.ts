/** Where in the page we are: the part of the address behind #, so that any proxy path works. */

import { isOver } from "./parts/back.ts";

class Route {
  path = $state(read());

  constructor() {
    addEventListener("hashchange", () => {
      this.path = read();
    });
  }

  go(path: string): void {
    if (path === this.path) return;
    const goal = new URL(location.href);
    goal.hash = path;
    // From a dialog its entry is taken over: Back leads to the page that it lay on.
    if (isOver()) location.replace(goal);
    else location.assign(goal);
  }
}

function read(): string {
  return location.hash.replace(/^#/, "") || "/";
}

export const route = new Route();
