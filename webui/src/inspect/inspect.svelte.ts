/** A picture file that was brought to the page: its settings are shown before anything changes. */

import { api, type Schemas } from "../api/client.ts";
import { expect, sentence } from "../api/failure.ts";
import { texts } from "../text/texts.ts";

const t = texts({
  kind: {
    en: "This is no PNG, JPEG or WebP file. Bring one of these.",
    zh: "这不是 PNG、JPEG 或 WebP 文件，请换一个。",
  },
  large: {
    en: "The file has more than 20 MiB, which is the most that is read.",
    zh: "文件超过 20 MiB 的上限。",
  },
});

const KINDS = ["image/png", "image/jpeg", "image/webp"];
const MOST_BYTES = 20 * 2 ** 20;

interface Brought {
  name: string;
  address: string; // of the file, in this browser
  found: Schemas["InspectedPicture"] | null; // null while the server reads it
  problem: string | null;
}

class Inspection {
  brought = $state<Brought | null>(null);

  async read(file: File): Promise<void> {
    this.close();
    const mine: Brought = {
      name: file.name,
      address: URL.createObjectURL(file),
      found: null,
      problem: null,
    };
    this.brought = mine;
    const answer = await settingsIn(file).then(
      (found) => ({ ...mine, found }),
      (error) => ({ ...mine, problem: sentence(error) }),
    );
    if (this.brought?.address === mine.address) this.brought = answer;
  }

  close(): void {
    if (this.brought !== null) URL.revokeObjectURL(this.brought.address);
    this.brought = null;
  }
}

async function settingsIn(file: File): Promise<Schemas["InspectedPicture"]> {
  if (!KINDS.includes(file.type)) throw new Error(t.kind);
  if (file.size > MOST_BYTES) throw new Error(t.large);
  const options = {
    body: file as unknown as string, // the document calls a file's bytes a string
    bodySerializer: (body: unknown) => body as Blob,
    headers: { "Content-Type": file.type },
  };
  return expect(api.POST("/api/v1/inspect", options as never));
}

export const inspection = new Inspection();
