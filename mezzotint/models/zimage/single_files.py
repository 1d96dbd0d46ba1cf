"""Z-Image as single files, as ComfyUI keeps them: found below a folder, told by their keys."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mezzotint.models.checkpoint import INDEX_ENDING, Part, check_dtypes, inside
from mezzotint.models.safetensors_file import open_safetensors
from mezzotint.models.zimage.parts import NETWORKS, Kind, parts_of
from mezzotint.types import ModelError

MAX_ENTRIES = 50_000  # files and folders below the one given

_WEIGHTS = (".safetensors", ".sft", ".gguf", ".ckpt", ".pt", ".pth", ".bin")
_COMFY_FOLDERS = ("text_encoders", "clip", "vae")  # beside diffusion_models/ and unet/
_COMFY_DEPTH = 3  # folders between models/ and a transformer's file
_WHAT = {
    "transformer": "a Z-Image transformer",
    "text_encoder": "a Qwen3 text encoder",
    "autoencoder": "a VAE",
}


@dataclass(frozen=True, slots=True)
class SingleFiles:
    """One file's worth of each network and the tokenizer."""

    transformer: Part
    text_encoder: Part
    autoencoder: Part
    tokenizer_file: Path


@dataclass(frozen=True, slots=True)
class _Shelf:
    """All that a search found, and what it could not read."""

    root: Path
    parts: dict[Kind, tuple[Part, ...]]
    tokenizers: tuple[Path, ...]
    problems: tuple[ModelError, ...]

    def holds_all(self) -> bool:
        return bool(self.tokenizers and self.parts["text_encoder"] and self.parts["autoencoder"])


def find_below(folder: Path) -> SingleFiles:
    """The one Z-Image below a folder. ModelError for none, for half of one, or for two."""
    shelf = _search(folder)
    return _complete(_choose(shelf, "transformer", lambda part: True, "any"), shelf)


def find_around(file: Path) -> SingleFiles:
    """A transformer's file and its siblings: in its folder, else in ComfyUI's models/.

    ModelError if the file is no transformer or a sibling is missing.
    """
    parts = parts_of(file, (open_safetensors(file),))
    if "transformer" not in parts:
        held = " and ".join(NETWORKS[kind].title for kind in parts) or "another model"
        raise ModelError(
            f"{file} holds {held} and no Z-Image transformer; give the path of the transformer's "
            "file or of the folder that holds all files"
        )
    check_dtypes(parts["transformer"])
    shelf = _search(file.parent)
    if not shelf.holds_all() and (models := _comfy_models(file)):
        shelf = _search(models)
    return _complete(parts["transformer"], shelf)


def _complete(transformer: Part, shelf: _Shelf) -> SingleFiles:
    width = transformer.shape("cap_embedder.1.weight", 2)[1]
    channels = transformer.shape("all_x_embedder.2-1.weight", 2)[1] // 4
    text_encoder = _choose(
        shelf,
        "text_encoder",
        lambda part: part.stored("embed_tokens.weight").shape[1:] == (width,),
        f"hidden size {width}",
    )
    autoencoder = _choose(
        shelf,
        "autoencoder",
        lambda part: part.stored("decoder.conv_in.weight").shape[1:2] == (channels,),
        f"{channels} latent channels",
    )
    return SingleFiles(transformer, text_encoder, autoencoder, _tokenizer(shelf))


def _choose(shelf: _Shelf, kind: Kind, fits: Callable[[Part], bool], wanted: str) -> Part:
    parts = shelf.parts[kind]
    fitting = [part for part in parts if fits(part)]
    usable = [part for part in fitting if _is_usable(part)]
    if len(usable) > 1:
        raise ModelError(
            f"{shelf.root} holds more than one file with {_WHAT[kind]} "
            f"({', '.join(str(part.path.relative_to(shelf.root)) for part in usable)}); give a "
            "folder with one of each"
        )
    if usable:
        return usable[0]
    if parts:
        check_dtypes((fitting or parts)[0])  # says why the file is not usable, if that is why
        raise ModelError(
            f"{shelf.root} holds {_WHAT[kind]} ({parts[0].path.name}) without {wanted}, which "
            "the transformer needs; put the one that belongs to it there"
        )
    problem = f" ({shelf.problems[0]})" if shelf.problems else ""
    raise ModelError(
        f"{shelf.root} is no diffusers folder (it has no model_index.json) and no file below it "
        f"holds {_WHAT[kind]}{problem}; put it there or run `mezzotint pull ID`"
    )


def _is_usable(part: Part) -> bool:
    try:
        check_dtypes(part)
    except ModelError:
        return False
    return True


def _tokenizer(shelf: _Shelf) -> Path:
    if len(shelf.tokenizers) == 1:
        return inside(shelf.root, shelf.tokenizers[0])
    if shelf.tokenizers:
        names = ", ".join(str(path.relative_to(shelf.root)) for path in shelf.tokenizers[:2])
        raise ModelError(
            f"{shelf.root} holds more than one tokenizer.json ({names}); give a folder with one"
        )
    raise ModelError(
        f"{shelf.root} holds no tokenizer.json, which single files come without; copy "
        "tokenizer/tokenizer.json of Tongyi-MAI/Z-Image-Turbo there"
    )


def _search(root: Path) -> _Shelf:
    parts: dict[Kind, list[Part]] = {kind: [] for kind in NETWORKS}
    problems: list[ModelError] = []
    tokenizers = []
    for path in _walk(root):
        if path.name == "tokenizer.json":
            tokenizers.append(path)
        if not path.name.lower().endswith(_WEIGHTS):
            continue
        try:
            found = parts_of(path, (open_safetensors(inside(root, path)),))
        except ModelError as problem:
            problems.append(problem)
            continue
        for kind, part in found.items():
            parts[kind].append(part)
    frozen: dict[Kind, tuple[Part, ...]] = {kind: tuple(found) for kind, found in parts.items()}
    return _Shelf(root, frozen, tuple(tokenizers), tuple(problems))


def _walk(root: Path) -> Iterator[Path]:
    """Files below root, in order of name; no linked folders, no shards of a diffusers folder."""
    count = 0
    for folder, folders, files in os.walk(root):
        folders.sort()
        count += len(folders) + len(files)
        if count > MAX_ENTRIES:
            raise ModelError(
                f"{root} holds over {MAX_ENTRIES} files to look through; give a smaller folder "
                "or the path of the transformer's file"
            )
        sharded = any(name.endswith(INDEX_ENDING) for name in files)
        yield from (
            Path(folder, name)
            for name in sorted(files)
            if not (sharded and name.endswith(".safetensors"))
        )


def _comfy_models(file: Path) -> Path | None:
    for folder in file.absolute().parents[1 : 1 + _COMFY_DEPTH]:
        if any((folder / name).is_dir() for name in _COMFY_FOLDERS):
            return folder
    return None
