/** Where in the page we are: the part of the address behind #, so that any proxy path works. */

class Route {
  path = $state(read());

  constructor() {
    addEventListener("hashchange", () => {
      this.path = read();
    });
  }

  go(path: string): void {
    location.hash = path;
  }
}

function read(): string {
  return location.hash.replace(/^#/, "") || "/";
}

export const route = new Route();
