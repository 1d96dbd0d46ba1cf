"""Other programs that run Z-Image, on the same weights, prompts, sizes and timer."""
