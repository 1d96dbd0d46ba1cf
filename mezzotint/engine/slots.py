"""The static memory of requests in flight, allocated once."""

from __future__ import annotations

import torch

from mezzotint.models.spec import PREVIEW_SCALE, SlotBuffers, SlotShapes


def allocate(
    shapes: SlotShapes, slots: int, device: torch.device, dtype: torch.dtype
) -> SlotBuffers:
    """Allocate every slot's buffers; captions in the model's dtype.

    On a GPU pictures are decoded one after the other and copied to the host's memory in between.
    """
    pictures = 1 if device.type == "cuda" else slots
    return SlotBuffers(
        latents=torch.empty(slots, shapes.latent_tokens, shapes.latent_width, device=device),
        captions=torch.empty(
            slots, 2, shapes.caption_tokens, shapes.caption_width, device=device, dtype=dtype
        ),
        pixels=torch.empty(pictures, shapes.pixels, 3, device=device, dtype=torch.uint8),
        previews=torch.empty(
            slots, shapes.pixels // PREVIEW_SCALE**2, 3, device=device, dtype=torch.uint8
        ),
    )
