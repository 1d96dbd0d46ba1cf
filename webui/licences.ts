import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";

const FONTS = ["@fontsource-variable/hanken-grotesk", "@fontsource-variable/newsreader"];
const PACKAGE = /node_modules\/((?:@[^/]+\/)?[^/]+)\//;

/** Puts the licences of all that the page carries beside it, as licences.txt. */
export function licences(): Plugin {
  return {
    name: "licences",
    apply: "build",
    generateBundle(_, bundle) {
      const modules = Object.values(bundle).flatMap((file) =>
        file.type === "chunk" ? Object.keys(file.modules) : [],
      );
      const names = modules.flatMap((path) => PACKAGE.exec(path)?.[1] ?? []);
      const source = [...new Set([...names, ...FONTS])].sort().map(licence).join("\n\n");
      this.emitFile({ type: "asset", fileName: "licences.txt", source });
    },
  };
}

function licence(name: string): string {
  const folder = join(import.meta.dirname, "node_modules", name);
  const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  if (file === undefined)
    throw new Error(`${name} has no licence file; say in licences.ts whose it is`);
  return `${name} ${version}\n${"=".repeat(72)}\n${readFileSync(join(folder, file), "utf8")}`;
}
