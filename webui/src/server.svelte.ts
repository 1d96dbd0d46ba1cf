/** Whether the server answers and can make pictures; asked until it can. */

import { api } from "./api/client.ts";

export type ServerState =
  | "unknown"
  | "unreachable"
  | "loading"
  | "ready"
  | "restarting"
  | "failed"
  | "closed";

const ASK_MS = 1500;
const REST_MS = 10_000; // while all is well: events tell the rest

class Server {
  state = $state<ServerState>("unknown");

  /** Begin to watch; the function that comes back ends it. */
  watch(): () => void {
    let timer = 0;
    const ask = async () => {
      this.state = await readState();
      timer = window.setTimeout(ask, this.state === "ready" ? REST_MS : ASK_MS);
    };
    void ask();
    return () => clearTimeout(timer);
  }
}

async function readState(): Promise<ServerState> {
  try {
    const { data, error } = await api.GET("/ready");
    if (data) return data.status;
    return error && "status" in error ? error.status : "failed";
  } catch {
    return "unreachable";
  }
}

export const server = new Server();
