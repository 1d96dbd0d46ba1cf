/** Keeps a book up to date while somebody looks: history first, then the stream. */

import { address, api } from "../api/client.ts";
import type { Book, Frame, StatsHistory } from "./book.svelte.ts";

const RETRY_MS = 2000;

export type Connection = "opening" | "open" | "lost";

/** Follow until the function that comes back is called. Hidden pages neither listen nor draw. */
export function follow(book: Book, onChange: (connection: Connection) => void): () => void {
  let stream: EventSource | null = null;
  let timer = 0;
  let turn = 0; // an answer that comes after a newer start is nobody's

  const stop = () => {
    turn += 1;
    clearTimeout(timer);
    stream?.close();
    stream = null;
  };

  const retry = () => {
    stop();
    onChange("lost");
    timer = window.setTimeout(start, RETRY_MS);
  };

  const start = async () => {
    stop();
    const mine = turn;
    try {
      const { data } = await api.GET("/api/v1/stats/history");
      if (mine !== turn) return;
      if (!data) return retry();
      book.load(data as StatsHistory); // the client's types lose tuples
      onChange("open");
      listen(data.last_id);
    } catch {
      if (mine === turn) retry();
    }
  };

  const listen = (after: string) => {
    stream = new EventSource(address(`api/v1/stats/stream?after=${after}`));
    stream.addEventListener("frame", (event) => {
      book.add(JSON.parse((event as MessageEvent<string>).data) as Frame);
      onChange("open");
    });
    stream.addEventListener("reset", () => void start());
    stream.addEventListener("error", () => {
      if (stream?.readyState === EventSource.CLOSED) retry();
      else onChange("lost"); // the browser tries again by itself
    });
  };

  const look = () => {
    if (document.hidden) stop();
    else void start();
  };
  document.addEventListener("visibilitychange", look);
  look();
  return () => {
    document.removeEventListener("visibilitychange", look);
    stop();
  };
}
