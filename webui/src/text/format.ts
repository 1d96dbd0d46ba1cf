/** Numbers, sizes and times as the chosen language writes them. */

import { language } from "./language.svelte.ts";

const LOCALE = { en: "en-GB", zh: "zh-CN" } as const;

/** 12,345 */
export function number(value: number, digits = 0): string {
  return new Intl.NumberFormat(LOCALE[language.current], {
    maximumFractionDigits: digits,
  }).format(value);
}

/** An English word for one or for many: step, steps. */
export function plural(count: number | string, one: string, many = `${one}s`): string {
  return String(count) === "1" ? one : many;
}

/** 480 ms, 3.2 s, 1 min 20 s; in Chinese 480 毫秒, 3.2 秒, 1 分 20 秒. */
export function duration(seconds: number): string {
  const zh = language.current === "zh";
  if (seconds < 1) return `${number(seconds * 1000)} ${zh ? "毫秒" : "ms"}`;
  if (seconds < 60) return `${number(seconds, seconds < 10 ? 1 : 0)} ${zh ? "秒" : "s"}`;
  const whole = Math.round(seconds);
  const minutes = Math.floor(whole / 60);
  const rest = whole % 60;
  return zh ? `${minutes} 分 ${rest} 秒` : `${minutes} min ${rest} s`;
}

/** 1.4 MB; powers of ten, as disks and browsers count. */
export function bytes(value: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let power = 0;
  let rest = value;
  while (rest >= 999.5 && power < units.length - 1) {
    rest /= 1000;
    power += 1;
  }
  return `${number(rest, rest < 10 && power > 0 ? 1 : 0)} ${units[power]}`;
}

/** Day and minute of Unix seconds, in the viewer's own time zone. */
export function moment(unixSeconds: number): string {
  return new Intl.DateTimeFormat(LOCALE[language.current], {
    dateStyle: "medium",
    timeStyle: "short",
  }).format(unixSeconds * 1000);
}
