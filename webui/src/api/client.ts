/** The server's API, typed by its own OpenAPI document. */

import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];

// Every address counts from <base>, which the server writes.
export const api = createClient<paths>({ baseUrl: document.baseURI.replace(/\/$/, "") });

/** An address of the server below wherever it is mounted. */
export function address(path: string): string {
  return new URL(path, document.baseURI).href;
}
