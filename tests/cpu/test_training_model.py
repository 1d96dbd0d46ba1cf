"""The training code: forward, sampler, optimiser, tokenizer, checkpoint, and the export."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import ZImagePipeline
from torch import nn
from transformers import AutoTokenizer

from training import captions, checkpoint, train_tokenizer
from training.data import art
from training.data.plan import World
from training.data.render import know
from training.evaluate import Trial, prompts_for
from training.export import _pipeline
from training.forward import geometry, predict, use_real_rope
from training.model import (
    SMOKE,
    Sizes,
    build_text_encoder,
    build_transformer,
    build_vae,
    count_parameters,
)
from training.optim import Average, Optimizer, _orthogonal
from training.painter import Recipe, load_painter, paint
from training.tokenizer import wrap

SAMPLE = Path("training/sample.zip")


@pytest.fixture(scope="module")
def world() -> World:
    return know(art.load(SAMPLE))[0]


@pytest.fixture(scope="module")
def words(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer.main(
        ["--art", str(SAMPLE), "--out", str(folder), "--captions", "200", "--vocabulary", "512"]
    )
    return folder


def test_the_model_that_ships_fits_in_40_mb():
    sizes = Sizes()
    parts = build_text_encoder(sizes), build_vae(sizes), build_transformer(sizes)
    assert 2 * count_parameters(*parts) < 39_950_000


@pytest.mark.parametrize(("size", "tokens"), [((128, 128), 32), ((144, 96), 64), ((96, 176), 32)])
def test_batched_forward_equals_diffusers(size, tokens):
    torch.manual_seed(0)
    model = build_transformer(SMOKE).eval()
    nn.init.normal_(model.all_final_layer["2-1"].linear.weight, std=0.1)
    width, height = size
    z = torch.randn(3, 16, height // 8, width // 8)
    t = torch.tensor([0.1, 0.5, 0.9])
    lengths = [tokens - 13, tokens - 4, tokens]
    text = torch.randn(3, tokens, SMOKE.text_dim)
    with torch.no_grad():
        features = [x[:n] for x, n in zip(text, lengths, strict=True)]
        expected = torch.stack(model([x[:, None] for x in z], t, features, return_dict=False)[0])
        use_real_rope(model)
        mask = torch.arange(tokens) < torch.tensor(lengths)[:, None]
        geo = geometry(model, width, height, tokens, "cpu")
        found = predict(model, z, t, text, mask, geo)
    assert (found - expected[:, :, 0]).abs().max() < 1e-4
    assert expected.abs().max() > 0.1


def test_the_painter_draws_what_diffusers_draws(words, tmp_path):
    torch.manual_seed(1)
    vae, encoder, model = (b(SMOKE) for b in (build_vae, build_text_encoder, build_transformer))
    nn.init.normal_(model.all_final_layer["2-1"].linear.weight, std=0.05)
    checkpoint.save(tmp_path / "vae", {"vae": vae}, {"mean": 0.1, "deviation": 0.8})
    parts = {"text_encoder": encoder, "transformer": model}
    checkpoint.save(tmp_path / "student", parts, {})
    painter = load_painter(tmp_path, "student", words, "cpu", smoke=True)
    prompts = ["a red apple", "一只猫和一只狗，雪地里"]
    ours = paint(painter, prompts, 144, 96, Recipe(3, 1.0), seed=5)
    _pipeline(painter, words).save_pretrained(tmp_path / "model")
    pipeline = ZImagePipeline.from_pretrained(tmp_path / "model").to(torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    noise = torch.randn(2, 16, 12, 18, generator=torch.Generator().manual_seed(5))
    theirs = pipeline(list(prompts), width=144, height=96, num_inference_steps=3,
                      guidance_scale=1.0, latents=noise, output_type="np").images  # fmt: skip
    assert np.abs(ours.permute(0, 2, 3, 1).numpy() - theirs).max() < 2e-3


def test_the_tokenizer_loads_as_qwen2_and_stores_no_truncation(words):
    tokenizer = AutoTokenizer.from_pretrained(words)
    assert "Qwen2Tokenizer" in type(tokenizer).__name__
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "a red apple"}], tokenize=False,
        add_generation_prompt=True, enable_thinking=True,
    )  # fmt: skip
    assert text == wrap("a red apple")
    long = tokenizer("苹果" * 600).input_ids
    assert len(long) > 512
    assert tokenizer.decode(long) == "苹果" * 600
    assert tokenizer.backend_tokenizer.truncation is None
    assert tokenizer.backend_tokenizer.padding is None


def test_captions_fit_their_columns(world, words, tmp_path):
    captions.write_captions(world, words, 40, (144, 96), 1, tmp_path)
    found = captions.read_captions(tmp_path, (144, 96), 32)
    assert found.tokens.shape[1:] == (3, captions.LONG)
    assert 20 < len(found.tokens) == len(found.pictures) <= 32
    assert (found.length[:, :2] <= captions.SHORT).all()
    pad = found.tokens[0, 0, -1]
    first = found.tokens[0, 0]
    assert (first[found.length[0, 0] :] == pad).all()
    assert (first[: found.length[0, 0]] != pad).all()


def test_trial_prompts_are_what_they_say(world, words):
    from random import Random

    from tokenizers import Tokenizer

    from training.data.plan import is_held_out

    tokenizer = Tokenizer.from_file(str(words / "tokenizer.json"))
    plans, texts = prompts_for(world, tokenizer, Trial("x", held_out=True), 8, Random(0))
    assert len(texts) == 8
    assert all(is_held_out(world, p) and p.kind != "pair" for p in plans)


def test_orthogonal_updates_have_unit_singular_values():
    values = torch.linalg.svdvals(_orthogonal(torch.randn(3, 64, 24)))
    assert values.min() > 0.5
    assert values.max() < 1.4


@pytest.mark.parametrize("muon", [True, False])
def test_the_optimizer_learns(muon):
    torch.manual_seed(0)
    model = nn.ModuleDict({"layers": nn.ModuleList([nn.Linear(16, 16), nn.Linear(16, 4)])})
    x, goal = torch.randn(64, 16), torch.randn(64, 4)
    optimizer, losses = Optimizer([model], 0.0, muon), []
    for _ in range(60):
        loss = (model["layers"][1](model["layers"][0](x).relu()) - goal).square().mean()
        losses.append(loss.item())
        loss.backward()
        optimizer.step(0.02)
    assert losses[-1] < 0.6 * losses[0]


def test_swapping_an_average_twice_changes_nothing():
    model = nn.Linear(4, 4)
    average = Average([model], 0.9)
    before = model.weight.detach().clone()
    nn.init.zeros_(model.weight)
    average.swap()
    assert torch.equal(model.weight, before)
    average.swap()
    assert model.weight.abs().max() == 0


def test_checkpoints_come_back_and_missing_ones_say_so(tmp_path):
    model, other = nn.Linear(3, 5), nn.Linear(3, 5)
    checkpoint.save(tmp_path / "a", {"m": model}, {"steps": 3})
    assert checkpoint.load(tmp_path / "a", {"m": other}) == {"steps": 3}
    assert torch.equal(other.weight, model.weight.bfloat16().float())
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        checkpoint.load(tmp_path / "b", {"m": other})
