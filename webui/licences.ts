import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";

// What of others is in the built page; everything else in package.json only builds or tests it.
const CARRIED = [
  "svelte",
  "openapi-fetch",
  "@fontsource-variable/hanken-grotesk",
  "@fontsource-variable/newsreader",
];

/** Puts the licences of what the page carries beside it, as licences.txt. */
export function licences(): Plugin {
  return {
    name: "licences",
    apply: "build",
    generateBundle() {
      const source = CARRIED.map(licence).join("\n\n");
      this.emitFile({ type: "asset", fileName: "licences.txt", source });
    },
  };
}

function licence(name: string): string {
  const folder = join(import.meta.dirname, "node_modules", name);
  const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  if (file === undefined) throw new Error(`${name} has no licence file; name it in licences.ts`);
  return `${name} ${version}\n${"=".repeat(72)}\n${readFileSync(join(folder, file), "utf8")}`;
}
