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
  loaded = $state<number | null>(null); // of the weights, 0 to 1, while they load
  readied = $state(0); // how often it became ready: another start may serve another model

  /** Whether it is there at all, ready or not. */
  get answers(): boolean {
    return this.state !== "unknown" && this.state !== "unreachable";
  }

  /** Begin to watch; the function that comes back ends it. */
  watch(): () => void {
    let timer = 0;
    const go = async () => {
      await this.ask();
      timer = window.setTimeout(go, this.state === "ready" ? REST_MS : ASK_MS);
    };
    void go();
    return () => clearTimeout(timer);
  }

  async ask(): Promise<void> {
    const before = this.state;
    [this.state, this.loaded] = await readState();
    if (this.state === "ready" && before !== "ready") this.readied += 1;
  }
}

async function readState(): Promise<[ServerState, number | null]> {
  try {
    const { data, error } = await api.GET("/ready");
    if (data) return [data.status, null];
    return error && "status" in error ? [error.status, error.loaded] : ["failed", null];
  } catch {
    return ["unreachable", null];
  }
}

export const server = new Server();
