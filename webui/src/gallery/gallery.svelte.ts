/** The pictures that match what is looked for, read page by page as they are scrolled to. */

import { api } from "../api/client.ts";
import { expect, sentence } from "../api/failure.ts";
import type { ImageInfo } from "../api/types.ts";
import { jobs } from "../jobs/jobs.svelte.ts";

const PAGE = 200;
const MAX_IDS = 1000; // of one call

class Gallery {
  items = $state.raw<readonly ImageInfo[]>([]);
  search = $state("");
  starred = $state(false);
  loading = $state(false);
  complete = $state(false); // there are no more
  problem = $state<string | null>(null);

  private cursor: string | null = null;
  private turn = 0; // a slow answer to an older question is dropped

  /** Ask anew, from the newest on, for at least `count` if there are so many. */
  async restart(count = 0): Promise<void> {
    this.turn += 1;
    this.cursor = null;
    this.complete = false;
    this.loading = false;
    await this.more(true, count);
  }

  /** The next page, if there is one and none is on its way. */
  async more(first = false, count = 0): Promise<void> {
    if (this.loading || this.complete) return;
    this.loading = true;
    const turn = this.turn;
    const found: ImageInfo[] = [];
    try {
      do {
        const query = {
          search: this.search,
          starred: this.starred,
          limit: PAGE,
          ...(this.cursor === null ? {} : { cursor: this.cursor }),
        };
        const page = await expect(api.GET("/api/v1/images", { params: { query } }));
        if (turn !== this.turn) return;
        found.push(...page.data);
        this.cursor = page.next_cursor;
      } while (this.cursor !== null && found.length < count);
      this.items = first ? found : [...this.items, ...found];
      this.complete = this.cursor === null;
      this.problem = null;
    } catch (error) {
      if (turn === this.turn) {
        this.problem = sentence(error);
        this.complete = true; // until it is asked anew
      }
    } finally {
      if (turn === this.turn) this.loading = false;
    }
  }

  /** Another's pictures are none of the next caller's. */
  forget(): void {
    this.turn += 1; // an answer that is on its way is still the other's
    this.items = [];
    this.search = "";
    this.starred = false;
    this.complete = false;
    this.loading = false;
    this.problem = null;
    this.cursor = null;
  }

  /** Go on with what failed. */
  async retry(): Promise<void> {
    if (this.problem === null) return;
    this.complete = false;
    await this.more(this.cursor === null);
  }

  /** A picture that was just made; one that is looked for in another way waits for the next look. */
  add(image: ImageInfo): void {
    if (this.search !== "" || this.starred) return;
    this.items = [image, ...this.items.filter((other) => other.id !== image.id)];
  }

  async star(ids: Iterable<string>, starred: boolean): Promise<void> {
    for (const id of ids) {
      const call = api.PATCH("/api/v1/images/{id}", {
        params: { path: { id } },
        body: { starred },
      });
      const image = await expect(call);
      const retold = (item: ImageInfo) => (item.id === id ? image : item);
      this.items = this.items.map(retold);
      jobs.retell(retold);
    }
  }

  async remove(ids: readonly string[]): Promise<void> {
    for (let start = 0; start < ids.length; start += MAX_IDS) {
      const some = ids.slice(start, start + MAX_IDS);
      await expect(api.POST("/api/v1/images/delete", { body: { ids: some } }));
      const gone = new Set(some);
      this.items = this.items.filter((item) => !gone.has(item.id));
      jobs.retell((image) => (gone.has(image.id) ? null : image));
    }
  }

  /** Delete an ended job with its pictures. */
  async removeJob(id: string): Promise<void> {
    await jobs.remove(id);
    this.items = this.items.filter((item) => item.job_id !== id);
  }
}

export const gallery = new Gallery();

/** Save pictures as one zip; at most 1000, which the page says before. */
export async function saveZip(ids: readonly string[], name = "mezzotint.zip"): Promise<void> {
  const body = { ids: ids.slice(0, MAX_IDS) };
  const blob = await expect(api.POST("/api/v1/images/zip", { body, parseAs: "blob" }));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob as unknown as Blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
