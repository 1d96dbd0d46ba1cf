/** The form of the Generate page: outlives page changes and reloads, and knows the last seed. */

import type { Capabilities } from "../api/types.ts";
import { keep, recall } from "../kept.ts";
import { fill, type Given, isTaken, ownRecipe, type Recipe } from "./recipe.ts";

const KEY = "mezzotint.recipe";
const MANY_KEY = "mezzotint.prompts";

/** What the form holds beside a recipe: which way it works, and a batch's prompts. */
interface Many {
  mode: "one" | "batch";
  lines: string;
  seeds: number; // of each line
}

class Form {
  recipe = $state<Recipe | null>(null); // null until the model is known
  called = $state(false); // the page is to go to the prompt
  many = $state<Many>(rememberedMany());

  /** Take up what was there before the reload, as far as this model takes it. */
  open(model: Capabilities): void {
    const own = ownRecipe(model);
    const before = this.recipe ?? remembered(own);
    this.recipe = isTaken(before, model)
      ? before
      : { ...own, prompt: before.prompt, negative: before.negative };
  }

  fill(values: Partial<Given>): void {
    if (this.recipe !== null) this.recipe = fill(this.recipe, values);
  }

  /** Fill it from a picture or a job, wherever that is shown, and go on there. */
  use(values: Partial<Given>): void {
    this.fill(values);
    this.called = true;
  }

  /** The model's own way with everything but the words. */
  reset(model: Capabilities): void {
    const { prompt, negative } = this.recipe ?? ownRecipe(model);
    this.recipe = { ...ownRecipe(model), prompt, negative };
  }

  remember(): void {
    if (this.recipe !== null) keep(KEY, JSON.stringify(this.recipe));
    keep(MANY_KEY, JSON.stringify(this.many));
  }

  /** Nothing of it is for who comes next. */
  forget(): void {
    this.recipe = null;
    this.many = ownMany();
    keep(KEY, null);
    keep(MANY_KEY, null);
  }
}

/** What was typed last; a stored value of another shape counts as none. */
function remembered(own: Recipe): Recipe {
  try {
    const stored: unknown = JSON.parse(recall(KEY) ?? "{}");
    return { ...own, ...(stored as Partial<Recipe>) };
  } catch {
    return own;
  }
}

const ownMany = (): Many => ({ mode: "one", lines: "", seeds: 1 });

function rememberedMany(): Many {
  const own = ownMany();
  try {
    const stored = JSON.parse(recall(MANY_KEY) ?? "{}") as Partial<Many>;
    return {
      mode: stored.mode === "batch" ? "batch" : "one",
      lines: typeof stored.lines === "string" ? stored.lines : own.lines,
      seeds: Number.isInteger(stored.seeds) ? Number(stored.seeds) : own.seeds,
    };
  } catch {
    return own;
  }
}

export const form = new Form();

/** A seed that nobody chose, as the server draws them. */
export function drawSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
}
