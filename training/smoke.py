"""The whole chain in a minute or two, on a CPU too: a tiny model, a sample of the art."""

import argparse
import tempfile
import time
from pathlib import Path

import torch
from diffusers import ZImagePipeline

from training import (
    distil,
    evaluate,
    export,
    judge,
    make_captions,
    sheets,
    train_dit,
    train_tokenizer,
    train_vae,
)

SAMPLE = Path(__file__).with_name("sample.zip")


def run_chain(folder: Path) -> Path:
    """Run every phase for seconds and return the exported model's folder."""
    art = ["--art", str(SAMPLE)]
    words = ["--tokenizer", str(folder / "tokenizer")]
    out, tiny, eager = ["--out", str(folder)], ["--smoke"], ["--no-compile"]
    brief = ["--minutes", "0.03", "--variants", "2"]
    train_tokenizer.main(
        [*art, "--out", str(folder / "tokenizer"), "--captions", "300", "--vocabulary", "512"]
    )
    make_captions.main([*art, *words, *out, "--pictures", "160"])
    train_vae.main([*eager, *art, *out, *tiny, *brief, "--pictures", "48", "--batch", "8"])
    train_dit.main([*eager, *art, *words, *out, *tiny, *brief, "--pictures", "160", "--batch", "8"])
    distil.main([*eager, *art, *words, *out, *tiny, *brief, "--pictures", "80", "--batch", "8"])
    judge.main([*art, *out, *tiny, *brief, "--pictures", "96", "--batch", "8"])
    torch.set_grad_enabled(True)
    evaluate.main([*art, *words, *out, *tiny, "--prompts", "4", "--variants", "2"])
    sheets.main([*art, *words, *out, *tiny])
    export.main([*art, *words, *out, *tiny, "--model", str(folder / "model")])
    return folder / "model"


def main(arguments: list[str] | None = None) -> None:
    """Command line: run the chain in a temporary folder and draw one picture with diffusers."""
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        model = run_chain(Path(folder))
        pipeline = ZImagePipeline.from_pretrained(model, torch_dtype=torch.float32)
        picture = pipeline("a red apple", width=144, height=96, num_inference_steps=2,
                           guidance_scale=0.0).images[0]  # fmt: skip
    print(f"smoke: drew {picture.size} in all {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
