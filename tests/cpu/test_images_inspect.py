"""Settings of other programs' files, made here as those programs write them."""

from __future__ import annotations

import io
import json
import random
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo
from test_images_metadata import FORMATS, PROVENANCE, RECIPE, encoded

from mezzotint.images.comfy import MAX_NODES, parse_comfy
from mezzotint.images.container import read_webp
from mezzotint.images.exif import ExifTexts, read_exif
from mezzotint.images.infotext import MAX_SETTINGS, parse_infotext, split_settings
from mezzotint.images.inspect import Inspected, inspect
from mezzotint.images.settings import Settings
from mezzotint.types import MAX_SEED, Format, RequestError

PROMPT = "a fox, (sleeping:1.2)\nin the snow, 雪地里的狐狸"
NEGATIVE = "blurry, 模糊\nlow quality"
INFOTEXT = (
    f"{PROMPT}\nNegative prompt: {NEGATIVE}\nSteps: 20, Sampler: Euler a, Schedule type: Karras, "
    'CFG scale: 7, Seed: 965400086, Size: 832x1216, Model hash: 45dee52b, Model: "z, image", '
    'Lora hashes: "a: 12, b: 34", Version: v1.10.1'
)
FOX = Settings(
    prompt=PROMPT,
    negative_prompt=NEGATIVE,
    width=832,
    height=1216,
    steps=20,
    guidance=6.0,
    seed=965400086,
    model="z, image",
)
SWARM = {
    "sui_image_params": {
        "prompt": PROMPT,
        "negativeprompt": NEGATIVE,
        "model": "z, image",
        "seed": 965400086,
        "steps": 20,
        "cfgscale": 7.0,
        "width": 832,
        "height": 1216,
        "swarm_version": "0.9.8",
    },
    "sui_extra_data": {"generation_time": "1.2 sec"},
}
INVOKE = {
    "generation_mode": "txt2img",
    "positive_prompt": PROMPT,
    "negative_prompt": NEGATIVE,
    "width": 832,
    "height": 1216,
    "seed": 965400086,
    "cfg_scale": 7,
    "steps": 20,
    "scheduler": "euler",
    "model": {"key": "1", "name": "z, image", "base": "z-image", "type": "main"},
}
OLD_INVOKE = {
    "model": "stable diffusion",
    "model_weights": "z, image",
    "image": {
        "prompt": [{"prompt": "a fox", "weight": 1}, {"prompt": "snow", "weight": 0.5}],
        "steps": 20,
        "cfg_scale": 7,
        "seed": 5,
        "width": 832,
        "height": 1216,
    },
}


def node(kind: str, **inputs: object) -> dict[str, object]:
    return {"class_type": kind, "inputs": inputs, "_meta": {"title": kind}}


GRAPH = {
    "9": node("SaveImage", images=["8", 0], filename_prefix="out"),
    "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
    "3": node(
        "KSampler",
        seed=965400086,
        steps=20,
        cfg=7.0,
        sampler_name="euler",
        denoise=1,
        model=["10", 0],
        positive=["6", 0],
        negative=["7", 0],
        latent_image=["5", 0],
    ),
    "10": node("LoraLoader", model=["4", 0], clip=["4", 1], lora_name="x"),
    "4": node("CheckpointLoaderSimple", ckpt_name="z, image"),
    "5": node("EmptyLatentImage", width=832, height=1216, batch_size=1),
    "6": node("CLIPTextEncode", text=PROMPT, clip=["10", 1]),
    "7": node("CLIPTextEncode", text=NEGATIVE, clip=["10", 1]),
}
CUSTOM_GRAPH = {
    "1": node("SamplerCustomAdvanced", noise=["2", 0], guider=["3", 0], sampler=["4", 0],
              sigmas=["5", 0], latent_image=["6", 0]),
    "2": node("RandomNoise", noise_seed=["11", 0]),
    "3": node("CFGGuider", model=["7", 0], positive=["12", 0], negative=["12", 1], cfg=7),
    "4": node("KSamplerSelect", sampler_name="euler"),
    "5": node("BasicScheduler", model=["7", 0], steps=20, denoise=1),
    "6": node("EmptySD3LatentImage", width=["13", 0], height=1216, batch_size=1),
    "7": node("UNETLoader", unet_name="z, image"),
    "8": node("CLIPTextEncode", text=["10", 0], clip=["9", 0]),
    "10": node("PrimitiveString", value=PROMPT),
    "11": node("PrimitiveInt", value=965400086),
    "12": node("ControlNetApplyAdvanced", positive=["8", 0], negative=["14", 0], strength=1),
    "13": node("PrimitiveFloat", value=832.0),
    "14": node("CLIPTextEncode", text=NEGATIVE, clip=["9", 0]),
}  # fmt: skip


def png(**texts: str) -> bytes:
    info = PngInfo()
    for key, text in texts.items():
        try:
            text.encode("latin-1")
            info.add_text(key.replace("_", "-") if key == "sd_metadata" else key, text)
        except UnicodeEncodeError:
            info.add_itxt(key, text)
    file = io.BytesIO()
    Pillow.new("RGB", (64, 48)).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def with_exif(format: str, tags: dict[int, object], comment: bytes = b"") -> bytes:
    exif = Pillow.Exif()
    for tag, value in tags.items():
        exif[tag] = value
    if comment:
        exif.get_ifd(0x8769)[0x9286] = comment
    file = io.BytesIO()
    Pillow.new("RGB", (64, 48)).save(file, format, exif=exif.tobytes())
    return file.getvalue()


def found(data: bytes) -> tuple[str, Settings]:
    result = inspect(data)
    assert (result.width, result.height) == (64, 48)
    return result.program, result.settings


@pytest.mark.parametrize("format", FORMATS)
def test_our_own(format: Format) -> None:
    result = inspect(encoded(format))
    assert result.program == "mezzotint"
    assert result.settings.guidance == RECIPE.guidance
    assert (result.settings.seed, result.settings.steps) == (RECIPE.seed, RECIPE.steps)
    assert (result.settings.width, result.settings.height) == (RECIPE.width, RECIPE.height)
    assert result.settings.prompt == RECIPE.prompt
    assert result.settings.model == PROVENANCE.model


@pytest.mark.parametrize("format", FORMATS)
def test_our_own_for_other_programs_reads_the_same(format: Format) -> None:
    """What we write as A1111 does means the same picture."""
    own = inspect(encoded(format))
    other = parse_infotext(own.texts["parameters"])
    assert (other.guidance, other.steps, other.seed) == (0.5, 8, 42)


def test_a1111_in_every_format() -> None:
    assert found(png(parameters=INFOTEXT)) == ("a1111", FOX)
    for format in ("JPEG", "WEBP"):
        for encoding in ("utf-16-be", "utf-16-le"):
            comment = b"UNICODE\0" + INFOTEXT.encode(encoding)
            assert found(with_exif(format, {}, comment)) == ("a1111", FOX)
        plain = b"ASCII\0\0\0" + b"a fox\nSteps: 5, Seed: 0"
        _, settings = found(with_exif(format, {}, plain))
        assert (settings.prompt, settings.steps, settings.seed) == ("a fox", 5, 0)


def test_a1111_without_a_negative_prompt_or_a_size() -> None:
    _, settings = found(png(parameters="Steps: 4, CFG scale: 1, Seed: 1"))
    assert (settings.prompt, settings.negative_prompt, settings.guidance) == ("", "", 0.0)
    assert (settings.width, settings.height) == (64, 48)


def test_the_last_line_that_looks_like_settings_counts() -> None:
    text = "Steps: 99 of a staircase\nmore\nSteps: 4, Seed: 1\nTemplate: x"
    assert parse_infotext(text).prompt == "Steps: 99 of a staircase\nmore"


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("Steps: 4, A: b", {"Steps": "4", "A": "b"}),
        ('Steps: 4, A: "b, c: d", E: f', {"Steps": "4", "A": "b, c: d", "E": "f"}),
        ('A: "b\\n\\"c\\""', {"A": 'b\n"c"'}),
        ('A: "never ends, B: c', {"A": '"never ends', "B": "c"}),
        ("A:b,C:", {"A": "b", "C": ""}),
        ("A: 1, A: 2", {"A": "1"}),
        ("", {}),
        ("no colon", {}),
    ],
)
def test_lines_of_settings(line: str, values: dict[str, str]) -> None:
    assert split_settings(line) == values


def test_swarm() -> None:
    text = json.dumps(SWARM)
    assert found(png(parameters=text)) == ("swarmui", FOX)
    for format in ("JPEG", "WEBP"):
        comment = b"UNICODE\0" + text.encode("utf-16-le")
        assert found(with_exif(format, {}, comment)) == ("swarmui", FOX)
        assert found(with_exif(format, {0x0110: text})) == ("swarmui", FOX)


def test_invoke() -> None:
    assert found(png(invokeai_metadata=json.dumps(INVOKE))) == ("invokeai", FOX)
    program, settings = found(png(sd_metadata=json.dumps(OLD_INVOKE)))
    assert (program, settings.prompt, settings.seed) == ("invokeai", "a fox, snow", 5)
    assert (settings.model, settings.guidance) == ("z, image", 6.0)


@pytest.mark.parametrize("graph", [GRAPH, CUSTOM_GRAPH])
def test_comfy(graph: dict[str, object]) -> None:
    text = json.dumps(graph)
    assert found(png(prompt=text, workflow='{"nodes": []}')) == ("comfyui", FOX)
    for format in ("JPEG", "WEBP"):
        tags = {0x010F: f"prompt:{text}", 0x010E: 'workflow:{"nodes": []}'}
        assert found(with_exif(format, tags)) == ("comfyui", FOX)


def test_comfy_zeroes_a_negative_prompt() -> None:
    graph = GRAPH | {"7": node("ConditioningZeroOut", conditioning=["6", 0])}
    assert parse_comfy(json.dumps(graph)).negative_prompt == ""


def test_comfy_seed_zero_and_seeds_beyond_ours() -> None:
    for seed, read in ((0, 0), (MAX_SEED, MAX_SEED), (2**64 - 1, None), (-1, None)):
        sampler = node("KSampler", **GRAPH["3"]["inputs"] | {"seed": seed})  # type: ignore[operator]
        assert parse_comfy(json.dumps(GRAPH | {"3": sampler})).seed == read


def test_comfy_graphs_that_go_round() -> None:
    graph: dict[str, Any] = {
        "1": node("KSampler", seed=["1", 0], positive=["2", 0], latent_image=["3", 0]),
        "2": node("Loop", conditioning=["3", 0]),
        "3": node("Loop", conditioning=["2", 0], samples=["1", 0]),
    }
    assert parse_comfy(json.dumps(graph)) == Settings(prompt="")
    long = {str(i): node("Next", conditioning=[str(i + 1), 0]) for i in range(3 * MAX_NODES)}
    long["0"] = node("KSampler", seed=1, positive=["1", 0])
    long[str(3 * MAX_NODES)] = node("CLIPTextEncode", text="too far")
    assert parse_comfy(json.dumps(long)).prompt == ""


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ({}, "carries no settings"),
        ({"Software": "GIMP"}, "carries no settings"),
        ({"parameters": "a fox"}, "no line that begins with 'Steps:'"),
        ({"parameters": '{"sui_image_params"'}, "not sound JSON"),
        ({"parameters": '["sui_image_params"]'}, "not a JSON object"),
        ({"invokeai_metadata": "null"}, "not a JSON object"),
        ({"invokeai_metadata": "[" * 100_000}, "not sound JSON"),
        ({"prompt": "a fox"}, "not sound JSON"),
        ({"prompt": "{}"}, "no sampler"),
        ({"prompt": '{"1": 5, "2": {"inputs": []}}'}, "no sampler"),
        ({"mezzotint": "{}"}, "schema"),
    ],
)
def test_what_cannot_be_read_says_why(texts: dict[str, str], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        inspect(png(**texts))


def test_numbers_that_are_none_are_left_out() -> None:
    wrong = SWARM["sui_image_params"] | {
        "seed": "x",
        "steps": True,
        "cfgscale": float("nan"),
        "width": 10**30,
        "height": 0,
        "prompt": 7,
        "model": None,
    }
    _, settings = found(png(parameters=json.dumps({"sui_image_params": wrong})))
    assert settings == Settings(prompt="", negative_prompt=NEGATIVE, width=64, height=48)


def test_halves_of_characters_are_replaced() -> None:
    text = '{"sui_image_params": {"prompt": "a \\ud83e\\udd8a b \\ud800"}}'
    _, settings = found(png(parameters=text))
    assert settings.prompt == "a 🦊 b \ufffd"


@pytest.mark.parametrize(("lossless", "kind"), [(False, b"VP8 "), (True, b"VP8L")])
def test_sizes_of_simple_webp_files(lossless: bool, kind: bytes) -> None:
    file = io.BytesIO()
    Pillow.new("RGB", (300, 17)).save(file, "WEBP", lossless=lossless)
    assert file.getvalue()[12:16] == kind
    header = read_webp(file.getvalue())
    assert (header.width, header.height) == (300, 17)


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"Exif\0\0",
        b"II*\0",
        b"II*\0\xff\xff\xff\xff",
        b"II*\0\x08\0\0\0\xff\xff",
        b"MM\0*\0\0\0\x08\xff\xff" + b"\x01\x0f\0\x02\xff\xff\xff\xff\0\0\0\0" * 600,
        b"MM\0*\0\0\0\x08\0\x01\x87\x69\0\x04\0\0\0\x01\0\0\0\x08",  # a table within itself
    ],
)
def test_broken_exif_says_nothing(block: bytes) -> None:
    assert read_exif(block) == ExifTexts()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)
names = st.sampled_from(
    ["inputs", "positive", "negative", "seed", "steps", "cfg", "latent_image", "text", "guider"]
)
links = st.tuples(st.sampled_from("0123"), st.integers(0, 1)).map(list)
graphs = st.dictionaries(
    st.sampled_from("0123"),
    st.fixed_dictionaries({"inputs": st.dictionaries(names, links | json_values)}) | json_values,
)


def survives(data: bytes) -> Inspected | None:
    """Settings that JSON in UTF-8 can hold, or None where there was a RequestError."""
    try:
        result = inspect(data)
    except RequestError:
        return None
    json.dumps(asdict(result.settings), allow_nan=False)
    for text in (result.settings.prompt, result.settings.negative_prompt, *result.texts.values()):
        text.encode()
    return result


@settings(max_examples=60, deadline=None)
@given(json_values, st.sampled_from(["parameters", "invokeai_metadata", "sd-metadata", "prompt"]))
def test_any_json(value: object, keyword: str) -> None:
    wrapped = {"sui_image_params": value} if keyword == "parameters" else value
    survives(png(**{keyword: json.dumps(wrapped)}))


@settings(max_examples=100, deadline=None)
@given(graphs)
def test_any_graph(graph: object) -> None:
    survives(png(prompt=json.dumps(graph)))


@settings(max_examples=100, deadline=None)
@given(st.text(), st.text(), st.text(alphabet=': ,"\\abc\n', max_size=200))
def test_any_infotext(prompt: str, negative: str, line: str) -> None:
    text = f"{prompt}\nNegative prompt: {negative}\nSteps: 1, {line}".replace("\0", "")
    read = parse_infotext(text)
    read.prompt.encode()
    assert len(split_settings(line)) <= MAX_SETTINGS


@settings(max_examples=60, deadline=None)
@given(
    prompt=st.text(alphabet=st.characters(exclude_categories=["C", "Z"]), max_size=50),
    steps=st.integers(1, 10_000),
    cfg=st.integers(10, 300).map(lambda tenths: tenths / 10),
    seed=st.integers(0, MAX_SEED),
)
def test_infotext_reads_back(prompt: str, steps: int, cfg: float, seed: int) -> None:
    read = parse_infotext(f"{prompt}\nSteps: {steps}, CFG scale: {cfg}, Seed: {seed}")
    assert (read.steps, read.seed, read.guidance) == (steps, seed, cfg - 1)
    assert read.prompt == prompt or prompt.startswith("Negative prompt:")


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([b"", b"Exif\0\0"]), st.sampled_from([b"II*\0", b"MM\0*"]), st.binary())
def test_any_exif(prefix: bytes, order: bytes, rest: bytes) -> None:
    for text in read_exif(prefix + order + rest).described:
        text.encode()


@pytest.mark.parametrize("kind", ["png", "JPEG", "WEBP"])
def test_cut_and_damaged_files(kind: str) -> None:
    comment = b"UNICODE\0" + INFOTEXT.encode("utf-16-be")
    data = png(parameters=INFOTEXT) if kind == "png" else with_exif(kind, {}, comment)
    draw = random.Random(7)
    for length in range(0, len(data), 11):
        survives(data[:length])
    for _ in range(200):
        damaged = bytearray(data)
        for _ in range(draw.randint(1, 8)):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        survives(bytes(damaged))
    for length in (0, 8, 33, len(data) // 2, len(data) - 1):
        if kind == "png":
            with pytest.raises(RequestError):
                inspect(data[:length])


def test_noise_is_no_picture() -> None:
    noise = np.random.default_rng(1).integers(0, 256, 4096, np.uint8).tobytes()
    with pytest.raises(RequestError, match="not a PNG, JPEG or WebP"):
        inspect(noise)
