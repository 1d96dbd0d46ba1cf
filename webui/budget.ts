import { gzipSync } from "node:zlib";
import type { Plugin } from "vite";

const MOST_KB = 120; // of all scripts together, gzipped

/** Fails the build when the page's scripts grow beyond what a phone should have to fetch. */
export function budget(): Plugin {
  return {
    name: "budget",
    apply: "build",
    generateBundle(_, bundle) {
      const scripts = Object.values(bundle).filter((file) => file.type === "chunk");
      const kilobytes = scripts.reduce((sum, { code }) => sum + gzipSync(code).length / 1000, 0);
      if (kilobytes > MOST_KB) {
        this.error(
          `the scripts have ${kilobytes.toFixed(1)} kB gzipped, of ${MOST_KB}: take some out`,
        );
      }
    },
  };
}
