"""Fill the compiler's disk cache for the transformer while the autoencoder trains.

Each later process then compiles in seconds; if this one fails, nothing else does.
"""

import argparse
import time

import torch

from training.captions import LONG, SHORT
from training.device import autocast, choose_device
from training.forward import compile_blocks, geometry, predict, use_real_rope
from training.model import SMOKE, Sizes, build_transformer

_SIZES = ((128, 128), (176, 96))  # 64 and 96 image tokens: every trained size has one of the two


def main(arguments: list[str] | None = None) -> None:
    """Command line: one forward and backward, and one plain forward, for each pair of lengths."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=1024, help="as in the training")
    parser.add_argument("--smoke", action="store_true", help="the tiny model")
    options = parser.parse_args(arguments)
    device, sizes = choose_device(), SMOKE if options.smoke else Sizes()
    model = build_transformer(sizes).to(device)
    use_real_rope(model)
    if device == "cuda":
        compile_blocks(model)
    start = time.monotonic()
    for tokens in (SHORT, LONG):
        for width, height in _SIZES:
            _step(model, width, height, tokens, sizes.text_dim, options.batch, device)
            print(f"warm {width}x{height}+{tokens}: {time.monotonic() - start:.0f} s", flush=True)


def _step(model, width: int, height: int, tokens: int, dim: int, batch: int, device: str) -> None:
    geo = geometry(model, width, height, tokens, device)
    z = torch.randn(batch, 16, height // 8, width // 8, device=device)
    text = torch.randn(batch, tokens, dim, device=device, requires_grad=True)
    mask = torch.ones(batch, tokens, dtype=torch.bool, device=device)
    t = torch.rand(batch, device=device)
    with autocast(device):
        predict(model, z, t, text, mask, geo).square().mean().backward()
        with torch.no_grad():
            predict(model, z, t, text.detach(), mask, geo)


if __name__ == "__main__":
    main()
