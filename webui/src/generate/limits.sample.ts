// A model's limits, as the tests of this folder take them.
export const LIMITS = {
  min_side: 256,
  max_side: 4096,
  multiple: 16,
  min_pixels: 512 * 512,
  max_pixels: 2048 * 2048,
  max_guided_pixels: 1024 * 1024,
  steps: { min: 1, max: 120 },
  guidance: { min: 0, max: 20 },
  n_max: 10,
  prompt_tokens: 512,
};
