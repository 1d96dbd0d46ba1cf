"""Every way to keep a Z-Image gives the same parameters, by our names."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from model_variants import (
    COMPONENTS,
    PREFIX,
    Tensors,
    bfl,
    cast,
    comfy,
    comfy_folder,
    copy_model,
    edit_json,
    fused,
    prefixed,
    rewrite,
    save,
    save_sharded,
    tensors_of,
)

from mezzotint.models.checkpoint import Part
from mezzotint.models.fill import fill
from mezzotint.models.safetensors_file import Stamp, StoredTensor
from mezzotint.models.shared import qwen3_keys
from mezzotint.models.shared.autoencoder_config import AutoencoderConfig
from mezzotint.models.shared.autoencoder_kl import Decoder, Encoder
from mezzotint.models.shared.qwen3 import Qwen3
from mezzotint.models.shared.qwen3_config import Qwen3Config
from mezzotint.models.zimage.config import TransformerConfig
from mezzotint.models.zimage.keys import expected_keys, key_map
from mezzotint.models.zimage.transformer import Transformer
from mezzotint.models.zimage.weights import ZImageCheckpoint, open_checkpoint
from mezzotint.types import ModelError

CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """On a busy machine small copies on several threads mostly wait for each other."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


def loaded(checkpoint: ZImageCheckpoint, dtype: torch.dtype = torch.float32) -> Tensors:
    """All parameters of the four modules, filled."""
    with torch.device("meta"):
        transformer = Transformer(checkpoint.transformer)
        text_encoder = Qwen3(checkpoint.text_encoder)
        decoder = Decoder(checkpoint.autoencoder)
        encoder = Encoder(checkpoint.autoencoder)
    fill(checkpoint.transformer_weights, transformer, CPU, dtype)
    fill(checkpoint.text_encoder_weights, text_encoder, CPU, dtype)
    fill(checkpoint.decoder_weights, decoder, CPU, dtype)
    fill(checkpoint.need_encoder(), encoder, CPU, dtype)
    modules = {"t": transformer, "q": text_encoder, "d": decoder, "e": encoder}
    return {
        f"{key}.{name}": value.detach()
        for key, module in modules.items()
        for name, value in module.named_parameters()
    }


def expected(model: Path) -> Tensors:
    """The same from the files' tensors by hand: names written out, no code of the package."""
    t, q, v = (tensors_of(model / name) for name in COMPONENTS)
    out = {f"{name[0]}.{name[8:]}": value for name, value in v.items()}  # decoder., encoder.
    for ours, theirs in (
        ("t_embedder.0", "t_embedder.mlp.0"),
        ("t_embedder.2", "t_embedder.mlp.2"),
        ("x_embedder", "all_x_embedder.2-1"),
        ("cap_embedder", "cap_embedder.1"),
        ("final", "all_final_layer.2-1.linear"),
        ("final_modulation", "all_final_layer.2-1.adaLN_modulation.1"),
    ):
        out |= {f"t.{ours}.{leaf}": t[f"{theirs}.{leaf}"] for leaf in ("weight", "bias")}
    out |= {"t.cap_norm": t["cap_embedder.0.weight"]}
    out |= {f"t.{name}": t[name] for name in ("x_pad_token", "cap_pad_token")}
    blocks = [f"{kind}.{i}" for kind in ("layers", "noise_refiner") for i in range(2)]
    for block in (*blocks, "context_refiner.0", "context_refiner.1"):
        a, f = f"{block}.attention", f"{block}.feed_forward"
        out[f"t.{block}.qkv"] = torch.cat([t[f"{a}.to_{x}.weight"] for x in "qkv"])
        out[f"t.{block}.q_norm"] = t[f"{a}.norm_q.weight"]
        out[f"t.{block}.k_norm"] = t[f"{a}.norm_k.weight"]
        out[f"t.{block}.out"] = t[f"{a}.to_out.0.weight"]
        out[f"t.{block}.w13"] = torch.cat([t[f"{f}.w1.weight"], t[f"{f}.w3.weight"]])
        out[f"t.{block}.w2"] = t[f"{f}.w2.weight"]
        for norm in ("attention_norm1", "attention_norm2", "ffn_norm1", "ffn_norm2"):
            out[f"t.{block}.{norm}"] = t[f"{block}.{norm}.weight"]
        if block in blocks:
            out[f"t.{block}.modulation.weight"] = t[f"{block}.adaLN_modulation.0.weight"]
            out[f"t.{block}.modulation.bias"] = t[f"{block}.adaLN_modulation.0.bias"]
    out["q.embed_tokens"] = q["embed_tokens.weight"]
    for i in range(2):  # of three layers
        a, m = f"layers.{i}.self_attn", f"layers.{i}.mlp"
        out[f"q.layers.{i}.input_norm"] = q[f"layers.{i}.input_layernorm.weight"]
        out[f"q.layers.{i}.qkv"] = torch.cat([q[f"{a}.{x}_proj.weight"] for x in "qkv"])
        out[f"q.layers.{i}.q_norm"] = q[f"{a}.q_norm.weight"]
        out[f"q.layers.{i}.k_norm"] = q[f"{a}.k_norm.weight"]
        out[f"q.layers.{i}.out"] = q[f"{a}.o_proj.weight"]
        out[f"q.layers.{i}.post_norm"] = q[f"layers.{i}.post_attention_layernorm.weight"]
        out[f"q.layers.{i}.gate_up"] = torch.cat(
            [q[f"{m}.gate_proj.weight"], q[f"{m}.up_proj.weight"]]
        )
        out[f"q.layers.{i}.down"] = q[f"{m}.down_proj.weight"]
    return out


def assert_same(actual: Tensors, wanted: Tensors) -> None:
    assert actual.keys() == wanted.keys()
    different = [name for name in wanted if not torch.equal(actual[name], wanted[name])]
    assert different == []


@pytest.fixture(scope="module")
def wanted(random_model: Path) -> Tensors:
    return expected(random_model)


def test_diffusers_folder(random_model: Path, wanted: Tensors) -> None:
    checkpoint = open_checkpoint(random_model)
    assert_same(loaded(checkpoint), wanted)
    assert checkpoint.transformer == TransformerConfig(
        dim=256, num_layers=2, num_heads=2, caption_width=64
    )
    assert checkpoint.text_encoder == Qwen3Config(
        vocab_size=3072,
        hidden_size=64,
        num_layers=3,
        num_heads=2,
        num_kv_heads=1,
        head_dim=32,
        intermediate_size=128,
    )
    assert checkpoint.autoencoder == AutoencoderConfig(
        block_out_channels=(32, 32, 64, 64), layers_per_block=1, norm_num_groups=16
    )
    assert checkpoint.shift == 3.0
    assert checkpoint.name == random_model.name
    assert checkpoint.tokenizer_file == random_model / "tokenizer" / "tokenizer.json"


def test_bundled_model(bundled: Path) -> None:
    checkpoint = open_checkpoint(bundled)
    assert checkpoint.transformer.axes_dims == (32, 48, 48)
    assert checkpoint.autoencoder.norm_num_groups == 16
    assert all(value.isfinite().all() for value in loaded(checkpoint).values())


def test_sharded(random_model: Path, wanted: Tensors, tmp_path: Path) -> None:
    model = copy_model(random_model, tmp_path / "m")
    for component, shards in zip(COMPONENTS, (3, 2, 2), strict=True):
        tensors = tensors_of(model / component)
        for file in (model / component).glob("*.safetensors"):
            file.unlink()
        save_sharded(tensors, model / component, shards)
    checkpoint = open_checkpoint(model)
    assert_same(loaded(checkpoint), wanted)


def test_dtypes_are_cast(random_model: Path, wanted: Tensors, tmp_path: Path) -> None:
    halves = {name: value.bfloat16() for name, value in wanted.items()}
    assert_same(loaded(open_checkpoint(random_model), torch.bfloat16), halves)
    model = copy_model(random_model, tmp_path / "m")
    for component in COMPONENTS:
        rewrite(model, component, lambda tensors: cast(tensors, torch.bfloat16))
    assert_same(loaded(open_checkpoint(model), torch.bfloat16), halves)
    assert_same(loaded(open_checkpoint(model)), {name: h.float() for name, h in halves.items()})


TRANSFORMERS: dict[str, Callable[[Tensors], Tensors]] = {
    "diffusers names": dict,
    "diffusers names, prefixed": lambda t: prefixed(t, PREFIX),
    "comfy split": comfy,
    "comfy fused": lambda t: comfy(fused(t)),
    "comfy fused, prefixed": lambda t: prefixed(comfy(fused(t)), PREFIX),
    "diffusion_model. prefix": lambda t: prefixed(comfy(fused(t)), "diffusion_model."),
    "transformer. prefix": lambda t: prefixed(t, "transformer."),
    "all_x_embedder with fused qkv": fused,
    "some blocks fused": lambda t: fused(t, "layers.1."),
}


@pytest.mark.parametrize("change", TRANSFORMERS.values(), ids=TRANSFORMERS.keys())
def test_transformer_layouts(
    change: Callable[[Tensors], Tensors], random_model: Path, wanted: Tensors, tmp_path: Path
) -> None:
    folder = comfy_folder(random_model, tmp_path / "models")
    file = folder / "diffusion_models" / "a.safetensors"
    save(change(tensors_of(random_model / "transformer")), file)
    checkpoint = open_checkpoint(folder, "turbo")
    assert_same(loaded(checkpoint), wanted)
    assert checkpoint.transformer == open_checkpoint(random_model).transformer


@pytest.mark.parametrize("prefix", ["", "model.", "text_model.model."])
def test_text_encoder_prefixes_and_extras(
    prefix: str, random_model: Path, wanted: Tensors, tmp_path: Path
) -> None:
    folder = comfy_folder(random_model, tmp_path / "models")
    tensors = prefixed(tensors_of(random_model / "text_encoder"), prefix)
    head = {"lm_head.weight": tensors[f"{prefix}embed_tokens.weight"].clone()}
    save(tensors | head, folder / "text_encoders" / "b.safetensors")
    checkpoint = open_checkpoint(folder, "turbo")
    assert_same(loaded(checkpoint), wanted)
    assert checkpoint.text_encoder == open_checkpoint(random_model).text_encoder


def test_text_encoder_without_its_last_layer(
    random_model: Path, wanted: Tensors, tmp_path: Path
) -> None:
    model = copy_model(random_model, tmp_path / "m")
    rewrite(
        model,
        "text_encoder",
        lambda q: {name: value for name, value in q.items() if not name.startswith("layers.2.")},
    )
    checkpoint = open_checkpoint(model)
    assert checkpoint.text_encoder.num_layers == 3
    assert_same(loaded(checkpoint), wanted)


@pytest.mark.parametrize("change", [dict, bfl, lambda v: prefixed(bfl(v), "vae.")])
def test_autoencoder_layouts(
    change: Callable[[Tensors], Tensors], random_model: Path, wanted: Tensors, tmp_path: Path
) -> None:
    folder = comfy_folder(random_model, tmp_path / "models")
    save(change(tensors_of(random_model / "vae")), folder / "vae" / "c.safetensors")
    checkpoint = open_checkpoint(folder, "turbo")
    assert_same(loaded(checkpoint), wanted)
    # Nothing in a single file tells the groups: FLUX.1's 32 are taken.
    wanted_config = replace(open_checkpoint(random_model).autoencoder, norm_num_groups=32)
    assert checkpoint.autoencoder == wanted_config


def test_decoder_alone(random_model: Path, tmp_path: Path) -> None:
    model = copy_model(random_model, tmp_path / "m")
    rewrite(
        model,
        "vae",
        lambda vae: {name: value for name, value in vae.items() if name.startswith("decoder.")},
    )
    checkpoint = open_checkpoint(model)
    with torch.device("meta"):
        decoder, encoder = Decoder(checkpoint.autoencoder), Encoder(checkpoint.autoencoder)
    fill(checkpoint.decoder_weights, decoder, CPU, torch.float32)
    assert not decoder.conv_in.weight.is_meta
    with pytest.raises(ModelError, match="a decoder and no encoder"):
        fill(checkpoint.need_encoder(), encoder, CPU, torch.float32)


def test_all_in_one_file(random_model: Path, wanted: Tensors, tmp_path: Path) -> None:
    t, q, v = (tensors_of(random_model / name) for name in COMPONENTS)
    tensors = (
        prefixed(comfy(fused(t)), PREFIX)
        | prefixed(q, "text_encoders.qwen3_4b.transformer.model.")
        | prefixed(bfl(v), "vae.")
    )
    file = save(tensors, tmp_path / "all" / "everything.safetensors")
    shutil.copy(random_model / "tokenizer" / "tokenizer.json", file.parent)
    assert_same(loaded(open_checkpoint(file, "turbo")), wanted)
    assert_same(loaded(open_checkpoint(file.parent, "turbo")), wanted)


def test_file_finds_its_siblings(random_model: Path, wanted: Tensors, tmp_path: Path) -> None:
    folder = comfy_folder(random_model, tmp_path / "models")
    file = folder / "diffusion_models" / "a.safetensors"
    checkpoint = open_checkpoint(file, "base")
    assert_same(loaded(checkpoint), wanted)
    assert (checkpoint.name, checkpoint.shift) == ("a", 6.0)
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in folder.rglob("*.*"):
        shutil.copy(path, flat)
    assert_same(loaded(open_checkpoint(flat / "a.safetensors", "turbo")), wanted)
    assert open_checkpoint(flat, "turbo").name == "flat"


def test_other_files_beside_do_not_matter(
    random_model: Path, wanted: Tensors, tmp_path: Path
) -> None:
    folder = comfy_folder(random_model, tmp_path / "models")
    text = tensors_of(random_model / "text_encoder")
    save({"layers.0.lora_A.weight": torch.zeros(2, 2)}, folder / "loras" / "x.safetensors")
    save(cast(text, torch.float8_e4m3fn), folder / "text_encoders" / "a_fp8.safetensors")
    other = text | {"embed_tokens.weight": torch.zeros(8, 32)}
    save(other, folder / "text_encoders" / "a_smaller_one.safetensors")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "old.ckpt").write_bytes(b"PK\x03\x04")
    assert_same(loaded(open_checkpoint(folder, "turbo")), wanted)


def test_hub_cache_links_are_followed(random_model: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "models--x" / "snapshots" / "abc"
    blobs = tmp_path / "models--x" / "blobs"
    blobs.mkdir(parents=True)
    files = (path for path in sorted(random_model.rglob("*")) if path.is_file())
    for i, path in enumerate(files):
        link = snapshot / path.relative_to(random_model)
        link.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, blobs / str(i))
        link.symlink_to(blobs / str(i))
    assert open_checkpoint(snapshot).weights_id == open_checkpoint(random_model).weights_id


def test_variant_and_shift(random_model: Path, tmp_path: Path) -> None:
    assert open_checkpoint(random_model, "turbo").shift == 3.0
    with pytest.raises(ModelError, match=r"shift is 3 where variant base has 6; leave the variant"):
        open_checkpoint(random_model, "base")
    with pytest.raises(ModelError, match="variant 'fast' is unknown; give turbo or base"):
        open_checkpoint(random_model, "fast")
    folder = comfy_folder(random_model, tmp_path / "models")
    with pytest.raises(ModelError, match="give `--variant turbo` or `--variant base`"):
        open_checkpoint(folder)
    model = copy_model(random_model, tmp_path / "m")
    edit_json(model / "scheduler" / "scheduler_config.json", shift=6.0)
    assert open_checkpoint(model, "base").shift == 6.0


def test_weights_id_names_the_weights(random_model: Path, tmp_path: Path) -> None:
    first = open_checkpoint(random_model).weights_id
    assert len(bytes.fromhex(first)) == 32
    model = copy_model(random_model, tmp_path / "elsewhere")
    file = next((model / "transformer").glob("*.safetensors"))
    file.rename(file.with_name("renamed.safetensors"))
    edit_json(model / "scheduler" / "scheduler_config.json", shift=6.0)
    assert open_checkpoint(model).weights_id == first
    with file.with_name("renamed.safetensors").open("r+b") as data:
        data.seek(-1, 2)
        last = data.read(1)
        data.seek(-1, 2)
        data.write(bytes([last[0] ^ 1]))
    assert open_checkpoint(model).weights_id != first


def test_full_size_keys() -> None:
    config = TransformerConfig()
    keys = expected_keys(config)
    assert len(keys) == 521
    assert sum(math.prod(shape) for shape in keys.values()) == 6_154_908_736
    one = expected_keys(config, fused=True)
    assert len(one) == 453
    assert sum(math.prod(shape) for shape in one.values()) == 6_154_908_736


def test_full_size_keys_are_those_of_diffusers() -> None:
    from diffusers import ZImageTransformer2DModel

    with torch.device("meta"):
        theirs = ZImageTransformer2DModel()
    shapes = {name: tuple(value.shape) for name, value in theirs.state_dict().items()}
    assert expected_keys(TransformerConfig()) == shapes


@pytest.mark.parametrize("is_fused", [False, True])
def test_full_size_map_fills_every_parameter(is_fused: bool) -> None:
    config = TransformerConfig()
    keys = expected_keys(config, is_fused)
    plan = key_map(config, keys)
    with torch.device("meta"):
        module = Transformer(config)
    used: list[str] = []
    for name, parameter in module.named_parameters():
        sources = plan.sources[name]
        rows = sum(keys[source][0] for source in sources)
        assert (rows, *keys[sources[0]][1:]) == tuple(parameter.shape)
        used += sources
    assert sorted(used) == sorted(keys)


@pytest.mark.parametrize("num_layers", [35, 36])
def test_full_size_text_encoder_with_or_without_its_last_layer(num_layers: int) -> None:
    shapes = qwen3_keys.key_map(Qwen3Config(num_layers=num_layers + 1)).shapes
    stamp = Stamp(Path("x.safetensors"), 0, 0)
    tensors = {
        name: StoredTensor(stamp, name, "BF16", tuple(shape), 0, 0)
        for name, shape in shapes.items()
    }
    part = Part("the text encoder", stamp.path, (), tensors)
    assert qwen3_keys.config_of(part, None) == Qwen3Config()


def test_single_files_here_are_those_that_diffusers_reads(random_model: Path) -> None:
    from diffusers.loaders import single_file_utils as oracle

    t, v = tensors_of(random_model / "transformer"), tensors_of(random_model / "vae")
    single = prefixed(comfy(fused(t)), PREFIX)
    assert_same(oracle.convert_z_image_transformer_checkpoint_to_diffusers(single), t)
    config = {"down_block_types": [""] * 4, "up_block_types": [""] * 4}
    assert_same(oracle.convert_ldm_vae_checkpoint(bfl(v), config), v)
