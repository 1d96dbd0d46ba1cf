"""Which weights the fast precision keeps in FP8, by measurement.

The products of the main blocks, of the noise refiner and of the text encoder: 96 % of the
parameters and of a step's arithmetic. Embedders, modulation, norms, the final layer, the caption
refiner and the first main block's q, k and v stay in bfloat16. So do the text encoder's
activations: a prompt's products wait for their weights, so FP8 tokens would save no time.

Medians over the 64 prompts of `mezzotint compare` on the bundled model, against bf16: 37.4 dB,
SSIM 0.990; on an H100, which sums otherwise, 36.9. By what of the first block is bfloat16, dB:

    all          37.9      qkv and w13   37.3      w2     35.8
    qkv          37.4      qkv and w2    36.9      none   35.8

Changes that only round otherwise, such as a scale 1.1 times as large, move it by 0.3. With the
text encoder's activations in FP8 too it was 1.3 less; with a scale a row in every weight of the
transformer 0.7 more. Measured so, the caption refiner in FP8 cost 3, and the noise refiner in
bfloat16 gained nothing.

Attention in FP8, where it is asked for, is of the noise refiner and of the main blocks but the
first: 36.3 dB, SSIM 0.989 with the products in FP8 too. In the first block too it cost 1.6, and
without the noise refiner it gained 0.2. It is the rounding of q and k that shows: alone, in all
blocks beside bf16, it leaves 40.8 dB, that of P and v 47.6.
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
_KEPT = frozenset({"layers.0.qkv"})  # in bfloat16
_ATTENDS_EXACTLY = "layers.0"


def transformer_fp8(name: str) -> Quantize | None:
    """How a parameter of the transformer is held in FP8, if it is."""
    if name in _KEPT or not _inside(name):
        return None
    return _TRANSFORMER.get(name.rpartition(".")[2])


def attends_in_fp8(block: str) -> bool:
    """Whether a block of the transformer attends in FP8 where that is asked for."""
    return _inside(block) and block != _ATTENDS_EXACTLY


def text_encoder_fp8(name: str) -> Quantize | None:
    """How a parameter of the text encoder is held in FP8, if it is."""
    return _TEXT_ENCODER.get(name.rpartition(".")[2]) if name.startswith("layers.") else None


def _inside(name: str) -> bool:
    return name.startswith(("layers.", "noise_refiner."))
