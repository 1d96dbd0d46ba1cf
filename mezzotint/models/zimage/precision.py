"""Which weights the fast precision keeps in FP8, by measurement.

The products of the main blocks but the first, of the noise refiner and of the text encoder: 95 % of
the parameters and of a step's arithmetic. Embedders, modulation, norms, the final layer, the
caption refiner and the first main block stay in bfloat16. So do the text encoder's activations: a
prompt's products wait for their weights, so FP8 tokens would save no time. Medians over the 64
prompts of `mezzotint compare` on the bundled model, against bf16: 37.9 dB, SSIM 0.991. With the
text encoder's activations in FP8 too it was 36.6, the largest part of the error. Then, with a scale
a row in every weight of the transformer, it was 37.3, and by that measure 35.5 with the first block
in FP8 too (36.7 with its qkv and w2 in bfloat16), 34 with the caption refiner too, 37.2 with the
noise refiner in bfloat16. Changes that only round otherwise, such as a scale 1.1 times as large,
move it by 0.3.

Attention in FP8, where it is asked for, is of the same blocks: 36.6 dB, SSIM 0.989 with the
products in FP8 too. With the text encoder's activations in FP8 it was 36.2, and with a scale a row
in every weight 36.4, with the first block 34.8, without the noise refiner 36.6. It is the rounding
of q and k that shows: alone, in all blocks beside bf16, it leaves 40.8 dB, that of P and v 47.6.
"""

from __future__ import annotations

from mezzotint.kernels import quantize_matrix, quantize_rows
from mezzotint.models.materialize import Quantize

# One scale lets its reader apply it, and the product runs faster; qkv's v is read where it lies.
_TRANSFORMER: dict[str, Quantize] = {
    "qkv": quantize_rows,
    "out": quantize_matrix,
    "w13": quantize_matrix,
    "w2": quantize_matrix,
}
_TEXT_ENCODER: dict[str, Quantize] = dict.fromkeys(("qkv", "out", "gate_up", "down"), quantize_rows)
_FIRST = "layers.0."


def transformer_fp8(name: str) -> Quantize | None:
    """How a parameter of the transformer is held in FP8, if it is."""
    return _TRANSFORMER.get(name.rpartition(".")[2]) if _inside(name) else None


def attends_in_fp8(block: str) -> bool:
    """Whether a block of the transformer attends in FP8 where that is asked for."""
    return _inside(block + ".")


def text_encoder_fp8(name: str) -> Quantize | None:
    """How a parameter of the text encoder is held in FP8, if it is."""
    return _TEXT_ENCODER.get(name.rpartition(".")[2]) if name.startswith("layers.") else None


def _inside(name: str) -> bool:
    return name.startswith(("layers.", "noise_refiner.")) and not name.startswith(_FIRST)
