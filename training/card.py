"""The model card, filled in from a run's scores."""

import json
from pathlib import Path

from training.evaluate import table
from training.sheets import CHINESE, SEEN, SIZES

_HEAD = """---
license: apache-2.0
library_name: diffusers
pipeline_tag: text-to-image
language: [en, zh]
---

# Mezzotint's bundled model

A small text-to-image model of Z-Image's own architecture: Qwen3 text encoder, single-stream
diffusion transformer with head_dim 128 and RoPE axes [32, 48, 48], 8x autoencoder with 16 latent
channels, flow matching. 19.9 M parameters, 39.8 MB in bf16. It exists so that anyone can run the
real job without a GPU or a download, and so that every test has a real model. It is a toy of the
architecture: its pictures say nothing about Z-Image's quality.

```python
import torch
from diffusers import ZImagePipeline

pipe = ZImagePipeline.from_pretrained("FOLDER", torch_dtype=torch.bfloat16)
pipe("a red apple on green grass", width=128, height=128,
     num_inference_steps=8, guidance_scale=0.0).images[0].save("apple.png")
```

**Recipe: 8 steps, guidance 0** (the scheduler's shift is 2). The weights are distilled for it: the
guidance is inside them, as in Z-Image-Turbo, and adding more makes pictures harsher, not better.

## What it draws

![seen](seen.png)

716 things (`subjects.json` lists them with their names in English and Chinese) in three styles
(3D unless the prompt says flat or cartoon), 10 colour words, 12 plain and 16 drawn backgrounds,
sizes, places, counts from two to six, and pairs with a relation. Sizes that it was trained on:
128x128, 144x96, 96x144, 176x96, 96x176. Prompts in English or Chinese, up to 64 tokens.

Limits: nothing else is known to it (a person, a text, an action, an unlisted thing gives some
picture, rarely a sensible one); two small things at once are its weakest point; other sizes and
longer prompts were never trained.

## Scores

A classifier trained on fresh renders judges the model's pictures. Each cell is the model's score as
a share of the score that real renders of the same prompts get, with the latter in brackets.
*Held-out*: every picture shows a (subject, colour) or (subject, background) pair that training
never saw. *both*: of a prompt with two subjects, the judge's two likeliest are the two asked for.

"""
_TAIL = """
## Data and licences

Trained from nothing on pictures composed by program from Fluent Emoji (MIT, Microsoft) and Noto
Emoji (Apache 2.0, Google), with names from emojibase (MIT, Unicode). NOTICE has the details. No
photographs, no people's data, nothing collected from the web. `training/` in the repository is the
whole chain: one H200, under 15 minutes of training.
"""


def write_card(folder: Path, run: Path) -> None:
    """Write README.md into the model folder; scores.json of the run fills its tables."""
    scores_file = run / "scores.json"
    text = _HEAD
    if scores_file.exists():
        text += table(json.loads(scores_file.read_text()))
    else:
        text += "This export was not scored.\n"
    (folder / "README.md").write_text(text + _sheets(run) + _TAIL, encoding="utf-8")


def _sheets(run: Path) -> str:
    """The sheets with their prompts, row by row."""
    unseen = run / "held-out.txt"
    captions = unseen.read_text(encoding="utf-8").splitlines() if unseen.exists() else []
    parts = [
        "\nThe sheet above, row by row: " + " · ".join(SEEN) + ".",
        "![held-out](held-out.png)\n\nHeld-out combinations: " + " · ".join(captions),
        "![Chinese](chinese.png)\n\n" + " · ".join(CHINESE) + "。",
        "![sizes](sizes.png)\n\nEach size: " + " · ".join(SIZES) + ".",
        "![steps](steps.png)\n\n2, 4, 8 and 20 steps from the same noise.",
    ]
    return "\n\n".join(parts) + "\n"
