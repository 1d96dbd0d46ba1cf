/** Who the server takes this page for; on a server with keys, nobody until a key is given. */

import { api, type Schemas } from "./api/client.ts";
import { expect, Failure } from "./api/failure.ts";

class Session {
  info = $state<Schemas["SessionInfo"] | null>(null); // null: not known yet

  get admin(): boolean {
    return this.info?.role === "admin";
  }

  /** The name that the server knows the caller by; "": it asks for none. null: nobody, or not known yet. */
  get who(): string | null {
    return this.info?.signed_in ? (this.info.name ?? "") : null;
  }

  get needed(): boolean {
    return this.info !== null && !this.info.signed_in;
  }

  async read(): Promise<void> {
    this.info = await expect(api.GET("/api/v1/session"));
  }

  async signIn(key: string): Promise<void> {
    await expect(api.POST("/api/v1/session", { body: { key } }));
    await this.read();
  }

  async signOut(): Promise<void> {
    await expect(api.DELETE("/api/v1/session"));
    await this.read();
  }

  /** A call was refused for want of a key: the session may have ended meanwhile. */
  note(error: unknown): void {
    if (error instanceof Failure && error.status === 401) void this.read();
  }
}

export const session = new Session();
