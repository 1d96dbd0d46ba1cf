/** Whose page it is: what one caller leaves in this browser is not for the next. */

import { batch } from "./batch/batch.svelte.ts";
import { gallery } from "./gallery/gallery.svelte.ts";
import { form } from "./generate/form.svelte.ts";
import { jobs } from "./jobs/jobs.svelte.ts";
import { keep, recall } from "./kept.ts";

const KEY = "mezzotint.holder";
let holder: string | null = null; // of this tab's contents; null: whose the browser's are

/** The page is `who`'s from now on; "" has no name, as everybody at a server without keys. */
export function hold(who: string): void {
  const before = holder ?? recall(KEY) ?? "";
  holder = who;
  if (before === who) return;
  keep(KEY, who);
  if (before === "") return; // who makes the first key goes on with what was begun
  jobs.forget();
  gallery.forget();
  batch.forget();
  form.forget();
}
