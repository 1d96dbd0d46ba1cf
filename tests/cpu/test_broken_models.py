"""Broken and malicious models: each is one sentence with its remedy, and nothing of it runs."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_variants import (
    Tensors,
    bfl,
    cast,
    comfy,
    comfy_folder,
    copy_model,
    edit_json,
    prefixed,
    rewrite,
    save,
    save_sharded,
    tensors_of,
)

from mezzotint.models.zimage.weights import open_checkpoint
from mezzotint.types import ModelError

Damage = Callable[[Path], object]
CANARY_ENV = "canary"


class Bomb:
    """Pickled, it makes a file when it is opened."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.canary,))


def weights(model: Path, component: str = "transformer") -> Path:
    return next((model / component).glob("*.safetensors"))


def without(*names: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {key: value for key, value in tensors.items() if key not in names}


def cut(path: Path, num_bytes: int) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + num_bytes if num_bytes < 0 else num_bytes)


def swap_weights(model: Path, component: str, name: str) -> None:
    """Keep only a pickle of that name, which would touch the canary."""
    for file in (model / component).glob("*.safetensors*"):
        file.unlink()
    (model / component / name).write_bytes(pickle.dumps(Bomb(model / CANARY_ENV)))


def zip_pickle(model: Path) -> None:
    torch.save({"x": Bomb(model / CANARY_ENV)}, weights(model))


def shard(model: Path, **changes: str) -> Path:
    tensors = tensors_of(model / "transformer")
    weights(model).unlink()
    save_sharded(tensors, model / "transformer", 2)
    index = model / "transformer" / "model.safetensors.index.json"
    if changes:
        first = "model-00001-of-00002.safetensors"
        moved = dict.fromkeys(sorted(tensors)[::2], first)
        moved |= {key: first.replace("1-", "2-") for key in sorted(tensors)[1::2]}
        edit_json(index, weight_map=moved | changes)
    return index


def plant_code(model: Path) -> None:
    bomb = f"from pathlib import Path\nPath({str(model / CANARY_ENV)!r}).touch()\n"
    for place in ("pipeline.py", "transformer/modeling.py", "text_encoder/modeling_x.py"):
        (model / place).write_text(bomb)
    (model / "__init__.py").write_text(bomb)


def custom_component(model: Path) -> None:
    plant_code(model)
    edit_json(model / "model_index.json", transformer=["modeling", "ZImageTransformer2DModel"])


def custom_pipeline(model: Path) -> None:
    plant_code(model)
    edit_json(model / "model_index.json", _class_name=["pipeline", "MyPipeline"])


def auto_map(model: Path) -> None:
    plant_code(model)
    edit_json(model / "text_encoder" / "config.json", auto_map={"AutoModel": "modeling_x.X"})


def trust_remote_code(model: Path) -> None:
    plant_code(model)
    edit_json(model / "model_index.json", trust_remote_code=True)


def link_out(model: Path) -> None:
    secret = shutil.move(weights(model), model.parent / "secret.safetensors")
    (model / "transformer" / "x.safetensors").symlink_to(secret)


def link_folder_out(model: Path) -> None:
    outside = shutil.move(model / "vae", model.parent / "vae")
    (model / "vae").symlink_to(outside)


def change(component: str, how: Callable[[Tensors], Tensors]) -> Damage:
    return lambda model: rewrite(model, component, how)


def json_edit(place: str, **values: object) -> Damage:
    return lambda model: edit_json(model / place, **values)


def grown(name: str, *shape: int) -> Callable[[Tensors], Tensors]:
    return lambda tensors: tensors | {name: torch.zeros(*shape)}


SCHEDULER = "scheduler/scheduler_config.json"
W1 = "layers.1.feed_forward.w1.weight"
BROKEN: dict[str, tuple[Damage, str]] = {
    "folder is gone": (shutil.rmtree, "does not exist; correct the path"),
    "no transformer": (lambda m: shutil.rmtree(m / "transformer"), "holds no .safetensors file"),
    "no weights": (lambda m: weights(m, "vae").unlink(), "vae holds no .safetensors file"),
    "no config": (lambda m: (m / "vae" / "config.json").unlink(), "vae/config.json is missing"),
    "no tokenizer": (
        lambda m: (m / "tokenizer" / "tokenizer.json").unlink(),
        "tokenizer/tokenizer.json is missing; run `mezzotint pull",
    ),
    "no scheduler": (lambda m: (m / SCHEDULER).unlink(), "scheduler_config.json is missing"),
    "truncated": (lambda m: cut(weights(m), -100), "bytes where its header promises"),
    "truncated in the header": (lambda m: cut(weights(m), 900), "cut short at 900 bytes"),
    "empty": (lambda m: cut(weights(m), 0), "not a safetensors file"),
    "bytes appended": (
        lambda m: weights(m).open("ab").write(b"x"),
        "bytes where its header promises",
    ),
    "tensor missing": (change("transformer", without(W1)), f"lacks {W1} of the transformer"),
    "anchor missing": (
        change("transformer", without("cap_embedder.1.weight")),
        "lacks cap_embedder.1.weight of the transformer",
    ),
    "pad tokens missing": (
        change("transformer", without("cap_pad_token", "x_pad_token")),
        "lacks cap_pad_token and x_pad_token, as the first single files did",
    ),
    "wrong shape": (
        change("transformer", grown(W1, 682, 128)),
        f"has {W1} as [682, 128] where [682, 256] was expected",
    ),
    "extra tensor": (
        change("transformer", grown("control_layers.0.weight", 2, 2)),
        "holds control_layers.0.weight, which the transformer does not have",
    ),
    "a layer of number 9999": (
        change("transformer", grown("layers.9999.attention_norm1.weight", 256)),
        "config.json says n_layers is 2 where the tensors have 10000",
    ),
    "text layer missing": (
        change("text_encoder", without("layers.1.mlp.up_proj.weight")),
        "lacks layers.1.mlp.up_proj.weight of the text encoder",
    ),
    "text tensor of another shape": (
        change("text_encoder", grown("layers.0.mlp.down_proj.weight", 64, 64)),
        "as [64, 64] where [64, 128] was expected",
    ),
    "VAE tensor missing": (
        change("vae", without("decoder.conv_norm_out.bias")),
        "lacks decoder.conv_norm_out.bias of the VAE",
    ),
    "VAE with quant_conv": (
        change("vae", grown("quant_conv.weight", 32, 32, 1, 1)),
        "holds quant_conv.weight, which the VAE does not have",
    ),
    "VAE swapped for the text encoder": (
        lambda m: shutil.copy(weights(m, "text_encoder"), weights(m, "vae")),
        "of the VAE",
    ),
    "float16": (
        change("transformer", lambda t: cast(t, torch.float16)),
        "as float16, whose range Z-Image's activations overflow, so that pictures turn black",
    ),
    "fp8": (
        change("transformer", lambda t: cast(t, torch.float8_e4m3fn)),
        "as F8_E4M3, a quantised format that is not supported; take the bf16 or fp32 file",
    ),
    "one int8 tensor": (
        change("transformer", lambda t: t | {W1: t[W1].to(torch.int8)}),
        f"stores {W1} as I8, a quantised format",
    ),
    "float64": (
        change("transformer", lambda t: t | {W1: t[W1].double()}),
        f"stores {W1} as F64, a type that is not supported",
    ),
    "same tensor under two names": (
        change("transformer", lambda t: t | {"x_embedder.bias": torch.zeros(256)}),
        "which are the same tensor of the transformer",
    ),
    "two sets of weights": (
        lambda m: shutil.copy(weights(m), m / "transformer" / "z.safetensors"),
        "holds more than one set of weights",
    ),
    "shard missing": (
        lambda m: (shard(m).parent / "model-00002-of-00002.safetensors").unlink(),
        "model-00002-of-00002.safetensors is missing",
    ),
    "index says another shard": (
        lambda m: shard(m, x_pad_token="model-00002-of-00002.safetensors"),  # noqa: S106
        'do not agree about "x_pad_token"',
    ),
    "index lists what is not there": (
        lambda m: shard(m, ghost="model-00001-of-00002.safetensors"),
        'do not agree about "ghost"',
    ),
    "index leaves the folder": (
        lambda m: shard(m, ghost="../../secret.safetensors"),
        "not the plain name of a .safetensors file beside it",
    ),
    "index names a pickle": (
        lambda m: shard(m, ghost="pytorch_model.bin"),
        "not the plain name of a .safetensors file beside it",
    ),
    "index names an absolute path": (
        lambda m: shard(m, ghost="/etc/x.safetensors"),
        "not the plain name of a .safetensors file beside it",
    ),
    "index is a list": (lambda m: shard(m).write_text("[]"), "holds no JSON object"),
    "index without a map": (lambda m: shard(m).write_text("{}"), "has no weight_map"),
    "config is not JSON": (
        lambda m: (m / "transformer" / "config.json").write_text("{"),
        "config.json is not JSON",
    ),
    "config is immense": (
        lambda m: (m / "transformer" / "config.json").write_text(" " * (2**20 + 1)),
        "is larger than the limit of 1048576 bytes",
    ),
    "config is deep": (
        lambda m: (m / "transformer" / "config.json").write_text("[" * 100_000),
        "config.json is not JSON",
    ),
    "config says another width": (
        json_edit("transformer/config.json", dim=512),
        "says dim is 512 where the tensors have 256",
    ),
    "config says other heads": (
        json_edit("text_encoder/config.json", num_attention_heads=4),
        "says num_attention_heads is 4 where the tensors have 2",
    ),
    "config says other levels": (
        json_edit("vae/config.json", block_out_channels=[32, 64]),
        "says block_out_channels is [32, 64] where the tensors have [32, 32, 64, 64]",
    ),
    "axes do not add up": (
        json_edit("transformer/config.json", axes_dims=[32, 32, 32]),
        "even axes add up to a head",
    ),
    "axes are no sizes": (
        json_edit("transformer/config.json", axes_lens=[1536, -1, 512]),
        "whole numbers from 1 to 65536 were expected",
    ),
    "theta is text": (
        json_edit("transformer/config.json", rope_theta="256"),
        "a number above 0",
    ),
    "theta is infinite": (
        lambda m: (m / "transformer" / "config.json").write_text('{"rope_theta": Infinity}'),
        "Infinity is not a JSON number",
    ),
    "Omni": (
        json_edit("transformer/config.json", siglip_feat_dim=1152),
        "says siglip_feat_dim is 1152 where only null is supported",
    ),
    "another text model": (
        json_edit("text_encoder/config.json", model_type="qwen2"),
        'says model_type is "qwen2" where only "qwen3" is supported',
    ),
    "groups do not divide": (
        json_edit("vae/config.json", norm_num_groups=24),
        "channels, which 24 groups do not divide",
    ),
    "dynamic shifting": (
        json_edit(SCHEDULER, use_dynamic_shifting=True),
        "says use_dynamic_shifting is true where only false is supported",
    ),
    "another scheduler": (
        json_edit(SCHEDULER, _class_name="DDIMScheduler"),
        'where only "FlowMatchEulerDiscreteScheduler" is supported',
    ),
    "shift of zero": (json_edit(SCHEDULER, shift=0), "shift is 0 where a number above 0"),
    "Stable Diffusion": (
        json_edit("model_index.json", _class_name="StableDiffusionPipeline"),
        'of the pipeline "StableDiffusionPipeline" and only ZImagePipeline is supported',
    ),
    "another VAE class": (
        json_edit("model_index.json", vae=["diffusers", "AutoencoderTiny"]),
        "as its vae where diffusers's AutoencoderKL was expected",
    ),
    "a part more": (
        json_edit("model_index.json", safety_checker=["diffusers", "Checker"]),
        "as its safety_checker where no such part was expected",
    ),
    "custom pipeline": (custom_pipeline, "code of its own that is never run"),
    "custom component": (custom_component, "code from a model folder is never run"),
    "auto_map": (auto_map, "asks to run code of its own (auto_map)"),
    "trust_remote_code": (trust_remote_code, "asks to run code of its own (trust_remote_code)"),
    "only a .bin": (
        lambda m: swap_weights(m, "vae", "diffusion_pytorch_model.bin"),
        "only as a pickle (diffusion_pytorch_model.bin)",
    ),
    "pickle named .safetensors": (
        lambda m: swap_weights(m, "transformer", "model.safetensors"),
        "a pickle, which can run code when it is opened",
    ),
    "zip pickle named .safetensors": (zip_pickle, "a pickle, which can run code"),
    "GGUF named .safetensors": (
        lambda m: weights(m).write_bytes(b"GGUF\x03\x00\x00\x00" + bytes(64)),
        "a GGUF file, a quantised format",
    ),
    "LFS pointer": (
        lambda m: weights(m).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid x"),
        "a Git LFS pointer",
    ),
    "link out of the folder": (link_out, "is a link that leaves the model's folder"),
    "folder linked out": (link_folder_out, "is a link that leaves the model's folder"),
}


def assert_refused(path: Path, sentence: str, variant: str | None = None) -> str:
    before = set(sys.modules)
    with pytest.raises(ModelError) as caught:
        open_checkpoint(path, variant)
    text = str(caught.value)
    assert sentence in text
    assert "; " in text, "a remedy follows"
    assert "\n" not in text
    assert not [name for name in set(sys.modules) - before if "modeling" in name]
    return text


@pytest.mark.parametrize(("damage", "sentence"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_folder(damage: Damage, sentence: str, random_model: Path, tmp_path: Path) -> None:
    model = copy_model(random_model, tmp_path / "model")
    damage(model)
    assert str(model) in assert_refused(model, sentence)
    assert not (model / CANARY_ENV).exists()


def test_canary_sings(tmp_path: Path) -> None:
    """The bombs of these tests do go off where a pickle is opened."""
    pickle.loads(pickle.dumps(Bomb(tmp_path / CANARY_ENV)))  # noqa: S301
    assert (tmp_path / CANARY_ENV).exists()


def test_planted_code_is_not_run(random_model: Path, tmp_path: Path) -> None:
    model = copy_model(random_model, tmp_path / "model")
    plant_code(model)
    open_checkpoint(model)
    assert not (model / CANARY_ENV).exists()


def transformer_file(how: Callable[[Tensors], Tensors]) -> Damage:
    def damage(folder: Path) -> None:
        file = folder / "diffusion_models" / "a.safetensors"
        save(how(tensors_of(file.parent)), file)

    return damage


def remove(place: str) -> Damage:
    return lambda folder: (folder / place).unlink()


def twice(folder: Path) -> None:
    shutil.copy(folder / "vae" / "c.safetensors", folder / "vae" / "d.safetensors")


def other_vae(folder: Path) -> None:
    vae = tensors_of(folder / "vae")
    vae["decoder.conv_in.weight"] = vae["decoder.conv_in.weight"][:, :4]
    save(vae, folder / "vae" / "c.safetensors")


def vision_text_encoder(folder: Path) -> None:
    text = tensors_of(folder / "text_encoders")
    save(
        prefixed(text, "model.language_") | {"model.visual.patch_embed.weight": torch.zeros(2)},
        folder / "text_encoders" / "b.safetensors",
    )


BROKEN_SINGLE_FILES: dict[str, tuple[Damage, str]] = {
    "no transformer": (
        remove("diffusion_models/a.safetensors"),
        "no file below it holds a Z-Image transformer",
    ),
    "no text encoder": (
        remove("text_encoders/b.safetensors"),
        "no file below it holds a Qwen3 text encoder",
    ),
    "no VAE": (remove("vae/c.safetensors"), "no file below it holds a VAE"),
    "VAE cut short": (
        lambda f: cut(f / "vae" / "c.safetensors", -9),
        "bytes where its header promises",
    ),
    "no tokenizer": (remove("text_encoders/tokenizer.json"), "holds no tokenizer.json"),
    "two tokenizers": (
        lambda f: shutil.copy(f / "text_encoders" / "tokenizer.json", f),
        "more than one tokenizer.json (tokenizer.json, text_encoders/tokenizer.json)",
    ),
    "two VAEs": (twice, "more than one file with a VAE (vae/c.safetensors, vae/d.safetensors)"),
    "VAE of another model": (other_vae, "without 16 latent channels, which the transformer needs"),
    "a vision model's text encoder": (vision_text_encoder, "holds model.visual.patch_embed.weight"),
    "fp8": (
        transformer_file(lambda t: cast(t, torch.float8_e4m3fn)),
        "as F8_E4M3, a quantised format",
    ),
    "float16": (transformer_file(lambda t: cast(t, torch.float16)), "as float16, whose range"),
    "old file without pads": (
        transformer_file(without("cap_pad_token", "x_pad_token")),
        "lacks cap_pad_token and x_pad_token",
    ),
    "two transformers in a file": (
        transformer_file(lambda t: t | prefixed(cast(t, torch.bfloat16), "model_ema.")),
        "holds the transformer 2 times, below '' and 'model_ema.'",
    ),
    "split and fused in one block": (
        transformer_file(
            lambda t: t | {"layers.0.attention.to_q.weight": torch.zeros(256, 256)},
        ),
        "holds layers.0.attention.to_q.weight, which the transformer does not have",
    ),
}


@pytest.mark.parametrize(
    ("damage", "sentence"), BROKEN_SINGLE_FILES.values(), ids=BROKEN_SINGLE_FILES.keys()
)
def test_broken_single_files(
    damage: Damage, sentence: str, random_model: Path, tmp_path: Path
) -> None:
    folder = comfy_folder(random_model, tmp_path / "models")
    damage(folder)
    assert str(folder) in assert_refused(folder, sentence, "turbo")


def test_a_file_that_is_no_transformer(random_model: Path, tmp_path: Path) -> None:
    folder = comfy_folder(random_model, tmp_path / "models")
    assert_refused(folder / "vae" / "c.safetensors", "holds the VAE and no Z-Image transformer")
    lora = save({"lora_unet.weight": torch.zeros(2)}, tmp_path / "lora.safetensors")
    assert_refused(lora, "holds another model and no Z-Image transformer")
    pickled = tmp_path / "model.ckpt"
    pickled.write_bytes(pickle.dumps(Bomb(tmp_path / CANARY_ENV)))
    assert_refused(pickled, "a pickle, which can run code when it is opened")
    assert not (tmp_path / CANARY_ENV).exists()


def test_a_part_of_a_folder_is_sent_to_the_folder(random_model: Path) -> None:
    for part in (random_model / "transformer", weights(random_model)):
        assert_refused(part, f"is one part of the model in {random_model}; give that folder")


def test_lumina_is_not_taken_for_z_image(random_model: Path, tmp_path: Path) -> None:
    lumina = {
        name.replace("adaLN_modulation.0.", "adaLN_modulation.1."): value
        for name, value in comfy(tensors_of(random_model / "transformer")).items()
    }
    assert_refused(save(lumina, tmp_path / "x.safetensors"), "no Z-Image transformer")


def test_bfl_vae_that_lacks_a_level(random_model: Path, tmp_path: Path) -> None:
    folder = comfy_folder(random_model, tmp_path / "models")
    vae = bfl(tensors_of(random_model / "vae"))
    kept = {name: value for name, value in vae.items() if ".up.2." not in name}
    save(kept, folder / "vae" / "c.safetensors")
    assert_refused(folder, "of the VAE", "turbo")


@pytest.fixture(scope="module")
def scratch(bundled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_model(bundled, tmp_path_factory.mktemp("scratch") / "model")


FILES = (
    "model_index.json",
    SCHEDULER,
    "transformer/config.json",
    "transformer/diffusion_pytorch_model.safetensors.index.json",
    "transformer/diffusion_pytorch_model-00001-of-00002.safetensors",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


def opens_or_says_why(model: Path, file: Path, data: bytes) -> None:
    kept = file.read_bytes()
    file.write_bytes(data)
    try:
        open_checkpoint(model)
    except ModelError as error:
        assert "\n" not in str(error)  # noqa: PT017
    finally:
        file.write_bytes(kept)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_byte_may_be_wrong(scratch: Path, data: st.DataObject) -> None:
    file = scratch / data.draw(st.sampled_from(FILES))
    raw = bytearray(file.read_bytes())
    place = data.draw(st.integers(0, min(len(raw), 4096) - 1))
    raw[place] = data.draw(st.sampled_from(b'\x00\xff01-9{}[]":,.nte'))
    opens_or_says_why(scratch, file, bytes(raw))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_value_may_be_wrong(scratch: Path, data: st.DataObject) -> None:
    file = scratch / data.draw(st.sampled_from([name for name in FILES if name.endswith("json")]))
    values = json.loads(file.read_bytes())
    values[data.draw(st.sampled_from(sorted(values)))] = data.draw(JSON)
    opens_or_says_why(scratch, file, json.dumps(values).encode())


def test_refusal_is_quick(tmp_path: Path) -> None:
    """A header that promises 100 MB is not waited for."""
    path = tmp_path / "x.safetensors"
    path.write_bytes((99_000_000).to_bytes(8, "little") + b'{"a":')
    start = time.perf_counter()
    assert_refused(path, "cut short at 13 bytes")
    assert time.perf_counter() - start < 1.0
