/** Names for the shapes that the page passes around. */

import type { Schemas } from "./client.ts";

export type Capabilities = Schemas["Capabilities"];
export type ImageInfo = Schemas["ImageInfo"];
export type Job = Schemas["JobInfo"];
export type JobCall = Schemas["JobCall"];
export type Preset = Schemas["PresetInfo"];
export type Format = ImageInfo["format"];
