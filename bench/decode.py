"""Time the VAE's decode and its peak memory, whole and in strips of several heights.

`python -m bench.decode [--sides 1024 2048] [--out rows.jsonl]`. The real decoder's size, random
weights, bfloat16, one picture; a replayed CUDA graph, as the engine runs it, and its memory while
it is made. The last column is how far the picture is from the whole one's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.environment import environment, need_gpu
from bench.rows import append
from mezzotint.kernels.harness import graph_ms
from mezzotint.models.shared.autoencoder_config import AutoencoderConfig
from mezzotint.models.shared.autoencoder_kl import Decoder
from mezzotint.models.zimage.decode import strip_rows

ROWS = (None, 16, 32, 64, 128, 256)
REPEATS = 12
GPU = torch.device("cuda", 0)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.decode", description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=[512, 1024, 2048])
    parser.add_argument("--out", type=Path, help="append JSON rows to this file")
    options = parser.parse_args()
    need_gpu()
    about = environment("bench.decode")
    print(f"{about['gpu']}, torch {about['torch']}")
    print(f"{'side':>6}{'rows':>7}{'ms':>9}{'peak MiB':>10}{'dB to whole':>13}")
    for side in options.sides:
        for row in _measure(side):
            rows = row["rows"] or "whole"
            mark = "  the engine's" if row["engine"] else ""
            print(
                f"{side:6}{rows:>7}{row['ms']:9.2f}{row['peak_bytes'] / 2**20:10.0f}"
                f"{row['psnr_db']:13.1f}{mark}",
                flush=True,
            )
            append(options.out, about | row)
    return 0


@torch.inference_mode()
def _measure(side: int) -> Iterator[dict[str, Any]]:
    decoder = _decoder()
    generator = torch.Generator(GPU).manual_seed(0)
    small = side // decoder.config.downscale
    latent = torch.randn(1, 16, small, small, generator=generator, device=GPU).bfloat16()
    chosen = strip_rows(decoder.config, small, small, 2)
    whole = decoder(latent).float()
    for rows in dict.fromkeys((*ROWS, chosen)):
        if rows is not None and rows >= side:
            continue
        picture = decoder(latent, rows).float()
        error = (picture - whole).square().mean().item()
        span = (whole.max() - whole.min()).square().item()
        torch.cuda.empty_cache()
        ms, peak_bytes = _replay(decoder, latent, rows)
        yield {
            "side": side,
            "rows": rows,
            "ms": ms,
            "peak_bytes": peak_bytes,
            "psnr_db": 10 * torch.tensor(span / max(error, 1e-20)).log10().item(),
            "engine": rows == chosen,
        }


def _decoder() -> Decoder:
    decoder = Decoder(AutoencoderConfig()).to(GPU, torch.bfloat16).requires_grad_(False)
    generator = torch.Generator(GPU).manual_seed(0)
    for parameter in decoder.parameters():
        if parameter.ndim > 1:  # so that activations keep their size from layer to layer
            parameter.normal_(std=parameter[0].numel() ** -0.5, generator=generator)
    return decoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _replay(decoder: Decoder, latent: Tensor, rows: int | None) -> tuple[float, int]:
    """-> median ms of a replay, bytes above what was there while it was captured."""
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        picture = decoder(latent, rows)
    peak_bytes = torch.cuda.max_memory_allocated() - before
    ms = graph_ms(graph, REPEATS)
    del graph, picture
    torch.cuda.empty_cache()
    return ms, peak_bytes


if __name__ == "__main__":
    sys.exit(main())
