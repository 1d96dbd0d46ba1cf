/** What went wrong, as a sentence for the reader. */

import { number } from "../text/format.ts";
import { texts } from "../text/texts.ts";

const t = texts({
  unreachable: {
    en: "The server does not answer. Try again once it does.",
    zh: "服务器没有响应，请等它恢复后再试。",
  },
  signedOut: {
    en: "This server needs a key. Sign in to go on.",
    zh: "此服务器需要密钥，请先登录。",
  },
  forbidden: {
    en: "Your key may not do this. Ask for one with the role of an administrator.",
    zh: "当前密钥没有此权限，请使用管理员密钥。",
  },
  loading: {
    en: "The model is still loading. Try again in a moment.",
    zh: "模型仍在加载，请稍后再试。",
  },
  busy: {
    en: "The queue is full. Wait until some of it is done, then try again.",
    zh: "队列已满，请等部分任务完成后再试。",
  },
  tooLong: {
    en: (has: number, most: number) =>
      `The prompt is too long: ${number(has)} tokens, and the model takes ${number(most)}. Shorten it.`,
    zh: (has: number, most: number) =>
      `提示词过长：共 ${number(has)} 个 token，模型最多支持 ${number(most)} 个，请缩短。`,
  },
  noSettings: {
    en: "This picture carries no settings. Websites and chats often strip them: take the original file.",
    zh: "这张图片中没有生成参数。网站和聊天软件常会将其去除，请使用原始文件。",
  },
  refused: {
    en: (reason: string) => `The server refused this: ${reason}`, // its own sentence
    zh: (reason: string) => `服务器拒绝了请求：${reason}`,
  },
  broken: {
    en: (status: number) => `The server failed (${status}). Its log says why.`,
    zh: (status: number) => `服务器出错（${status}），原因见其日志。`,
  },
});

/** An answer other than the one asked for; `status` 0: none came. */
export class Failure extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** The data of a call of `api`; a Failure says what else came. */
export async function expect<T>(call: Promise<Answer<T>>): Promise<T> {
  let answer: Answer<T>;
  try {
    answer = await call;
  } catch {
    throw new Failure(0, "unreachable", t.unreachable);
  }
  if (answer.response.ok) return answer.data as T;
  throw failure(answer.response.status, answer.error);
}

/** The server's own sentences say most; those that everybody meets are ours, in both languages. */
export function failure(status: number, body: unknown): Failure {
  const error = (body as { error?: { code?: string; message?: string } } | null)?.error;
  const code = error?.code ?? "unknown";
  if (status === 401) return new Failure(status, code, t.signedOut);
  if (status === 403) return new Failure(status, code, t.forbidden);
  if (status === 429) return new Failure(status, code, t.busy);
  if (code === "model_not_ready") return new Failure(status, code, t.loading);
  if (code === "no_settings") return new Failure(status, code, t.noSettings);
  if (code === "prompt_too_long") {
    const [has, most] = error?.message?.match(/\d+/g) ?? []; // in this order, says docs/api.md
    if (has && most) return new Failure(status, code, t.tooLong(Number(has), Number(most)));
  }
  return new Failure(status, code, error?.message ? t.refused(error.message) : t.broken(status));
}

/** The sentence of anything that was thrown. */
export function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
