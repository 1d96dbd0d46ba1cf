import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";
import { budget } from "./budget.ts";
import { licences } from "./licences.ts";

const server = process.env.MEZZOTINT_URL ?? "http://127.0.0.1:7860";

export default defineConfig({
  base: "./", // the server says in <base> where it is mounted
  plugins: [svelte(), licences(), budget()],
  build: {
    outDir: "../mezzotint/web",
    emptyOutDir: true,
    cssCodeSplit: false, // a style sheet that did not load is never fetched again
    target: "es2023",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0, // fonts as files: the page's policy allows no data: for them
    reportCompressedSize: true,
  },
  server: { proxy: { "^/(api|v1|ready|health|metrics|openapi.json)": server } },
  test: { include: ["src/**/*.test.ts"], environment: "node" },
});
