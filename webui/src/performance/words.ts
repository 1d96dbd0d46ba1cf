/** The page's own names of things, in both languages. */

import { duration, number } from "../text/format.ts";
import { texts } from "../text/texts.ts";

export const parts = texts({
  queue: { en: "queue", zh: "排队" },
  encode: { en: "text encoder", zh: "文本编码" },
  denoise: { en: "denoise", zh: "去噪" },
  decode: { en: "VAE decode", zh: "VAE 解码" },
  file: { en: "file", zh: "文件" },
  wait: { en: "waiting its turn", zh: "等待轮次" },
  host: { en: "host", zh: "主机" },
  idle: { en: "no work", zh: "无任务" },
  total: { en: "total", zh: "总计" },
});

/** 0.42 ms, 14.2 ms, 186 ms, 1.24 s */
export function ms(value: number): string {
  if (value >= 1000) return `${number(value / 1000, 2)} s`;
  return `${number(value, value < 1 ? 2 : value < 100 ? 1 : 0)} ms`;
}

export function percent(share: number, digits = 0): string {
  return `${number(share * 100, digits)} %`;
}

export function seconds(value: number): string {
  return duration(value);
}
