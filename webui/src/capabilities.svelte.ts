/** What the served model takes; known once it is loaded. */

import { api } from "./api/client.ts";
import { expect } from "./api/failure.ts";
import type { Capabilities, Preset } from "./api/types.ts";

class Known {
  model = $state<Capabilities | null>(null);
  presets = $state<Preset[]>([]);

  async read(): Promise<void> {
    this.model = await expect(api.GET("/api/v1/capabilities"));
    await this.readPresets();
  }

  async readPresets(): Promise<void> {
    this.presets = (await expect(api.GET("/api/v1/presets"))).presets;
  }
}

export const known = new Known();
