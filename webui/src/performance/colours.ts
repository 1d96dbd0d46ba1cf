/** Colours for canvases, which know no custom properties: resolved by the element they lie in. */

const NAMES = [
  "ink",
  "ink-soft",
  "line",
  "line-strong",
  "sheet",
  "raised",
  "accent",
  "stage-queue",
  "stage-encode",
  "stage-denoise",
  "stage-decode",
  "stage-file",
  "stage-wait",
  "stage-host",
] as const;

export type Palette = Record<(typeof NAMES)[number], string> & { request: (id: number) => string };

const known = new Map<string, Palette>(); // by the ink's colour: one a theme

/** What the names mean inside `place` now. */
export function paletteOf(place: HTMLElement): Palette {
  const ink = getComputedStyle(place).color;
  const found = known.get(ink) ?? resolve(place);
  known.set(ink, found);
  return found;
}

function resolve(place: HTMLElement): Palette {
  const probe = document.createElement("span");
  probe.hidden = true;
  place.append(probe);
  const found: Record<string, string> = {};
  for (const name of NAMES) {
    probe.style.color = `var(--${name})`;
    found[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  const dark = getComputedStyle(place).colorScheme === "dark" || isDark(found.sheet ?? "");
  return { ...found, request: (id: number) => colourOf(id, dark) } as Palette;
}

/** A hue of its own for each request: neighbours are a golden angle apart. */
export function colourOf(request: number, dark: boolean): string {
  const hue = (request * 137.508) % 360;
  return dark ? `oklch(0.74 0.115 ${hue.toFixed(1)})` : `oklch(0.66 0.125 ${hue.toFixed(1)})`;
}

function isDark(colour: string): boolean {
  const [r = 255, g = 255, b = 255] = (colour.match(/[\d.]+/g) ?? []).map(Number);
  return r * 0.3 + g * 0.6 + b * 0.1 < 128;
}
