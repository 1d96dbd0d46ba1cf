/** The pages, in the order of the bar at the top. A new page is a line here. */

import type { Component } from "svelte";
import Generate from "./generate/Page.svelte";
import { texts } from "./text/texts.ts";

const t = texts({
  generate: { en: "Generate", zh: "图像生成" },
  gallery: { en: "Gallery", zh: "历史" },
  performance: { en: "Performance", zh: "性能" },
  settings: { en: "Settings", zh: "高级设置" },
  about: { en: "About", zh: "关于" },
});

interface Page {
  path: string;
  name: keyof typeof t;
  load: () => Promise<{ default: Component }>; // fetched when it is first opened
}

export const pages: readonly Page[] = [
  { path: "/", name: "generate", load: async () => ({ default: Generate }) },
  { path: "/gallery", name: "gallery", load: () => import("./gallery/Page.svelte") },
  { path: "/performance", name: "performance", load: () => import("./performance/Page.svelte") },
  { path: "/settings", name: "settings", load: () => import("./settings/Page.svelte") },
  { path: "/about", name: "about", load: () => import("./about/Page.svelte") },
];

/** The page at a path; an unknown path is the first page's. */
export function pageAt(path: string): Page {
  const found = pages.find((page) => path === page.path || path.startsWith(`${page.path}/`));
  const first = pages[0] as Page;
  return found ?? first;
}

export { t as pageNames };
