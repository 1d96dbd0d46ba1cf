"""What a Z-Image checkpoint consists of: from a path to checked headers to filled modules."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from mezzotint.models.checkpoint import (
    Part,
    Weights,
    check,
    check_dtypes,
    fingerprint,
    inside,
    open_folder,
)
from mezzotint.models.config_file import ConfigFile, read_config, short
from mezzotint.models.safetensors_file import AGAIN
from mezzotint.models.shared import autoencoder_keys, qwen3_keys
from mezzotint.models.shared.autoencoder_config import AutoencoderConfig
from mezzotint.models.shared.qwen3_config import Qwen3Config
from mezzotint.models.spec import OnLoad
from mezzotint.models.zimage import keys
from mezzotint.models.zimage.config import TransformerConfig
from mezzotint.models.zimage.parts import Kind, part_of, parts_of
from mezzotint.models.zimage.single_files import find_around, find_below
from mezzotint.types import ModelError

SHIFTS: Final = {"turbo": 3.0, "base": 6.0}  # of the released schedulers

_DOWNSCALE = 8  # pixels along one side of a latent element; the patches count on it
_PIPELINE = "ZImagePipeline"
_SCHEDULER = "FlowMatchEulerDiscreteScheduler"
_COMPONENTS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "scheduler": ("diffusers", (_SCHEDULER,)),
    "text_encoder": ("transformers", ("Qwen3Model", "Qwen3ForCausalLM")),
    "tokenizer": ("transformers", ("Qwen2Tokenizer", "Qwen2TokenizerFast")),
    "transformer": ("diffusers", ("ZImageTransformer2DModel",)),
    "vae": ("diffusers", ("AutoencoderKL",)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ZImageCheckpoint:
    """A checkpoint whose headers were read and checked, and whose tensors were not read yet."""

    name: str  # the folder's name, or the file's without its ending
    folder: Path  # the folder of the whole model
    transformer: TransformerConfig
    text_encoder: Qwen3Config
    autoencoder: AutoencoderConfig
    shift: float  # of the schedule
    tokenizer_file: Path
    weights_id: str  # sha256, hex
    transformer_weights: Weights
    text_encoder_weights: Weights
    decoder_weights: Weights
    encoder_weights: Weights | None  # None: the VAE came without its encoder

    def watched(self, on_load: OnLoad) -> ZImageCheckpoint:
        """The same, and `on_load` hears how much of what makes pictures was read."""
        weights = (self.transformer_weights, self.text_encoder_weights, self.decoder_weights)
        total, done = sum(each.num_bytes for each in weights), 0

        def on_read(num_bytes: int) -> None:
            nonlocal done
            done += num_bytes
            on_load(done, total)

        transformer, text_encoder, decoder = (replace(each, on_read=on_read) for each in weights)
        return replace(
            self,
            transformer_weights=transformer,
            text_encoder_weights=text_encoder,
            decoder_weights=decoder,
        )

    def need_encoder(self) -> Weights:
        """The VAE's encoder, for a picture to start from. ModelError if the VAE came without."""
        if self.encoder_weights is None:
            raise ModelError(
                f"the VAE of {self.name} has a decoder and no encoder, which a picture to start "
                "from needs; take the whole VAE file"
            )
        return self.encoder_weights


@dataclass(frozen=True, slots=True)
class _Source:
    """A network's tensors and its config.json, which single files do not have."""

    part: Part
    config: ConfigFile | None


def open_checkpoint(path: Path, variant: str | None = None) -> ZImageCheckpoint:
    """Open a diffusers folder, a folder of single files, or a transformer's single file.

    Reads and checks headers only. `variant` ("turbo" or "base") gives the schedule of single
    files, which do not say it. ModelError names what is wrong, with the remedy.
    """
    if variant is not None and variant not in SHIFTS:
        raise ModelError(f"variant {variant!r} is unknown; give {' or '.join(SHIFTS)}")
    if not path.exists():
        raise ModelError(f"{path} does not exist; correct the path or run `mezzotint pull ID`")
    try:
        return _open(path, variant)
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error}); check its permissions") from error


def _open(path: Path, variant: str | None) -> ZImageCheckpoint:
    folder = _pipeline_folder(path)
    if folder is None:
        return _open_single_files(path, variant)
    if folder != path:
        raise ModelError(f"{path} is one part of the model in {folder}; give that folder")
    return _open_pipeline(path, variant)


def _pipeline_folder(path: Path) -> Path | None:
    """The diffusers folder that `path` is, or is in."""
    parts = (path, *path.absolute().parents[: 1 if path.is_dir() else 2])
    return next((folder for folder in parts if (folder / "model_index.json").is_file()), None)


def _open_pipeline(folder: Path, variant: str | None) -> ZImageCheckpoint:
    _check_index(read_config(inside(folder, folder / "model_index.json")))
    scheduler = read_config(inside(folder, folder / "scheduler" / "scheduler_config.json"))
    return _checkpoint(
        folder.resolve().name,
        folder,
        _component(folder, "transformer", "transformer"),
        _component(folder, "text_encoder", "text_encoder"),
        _component(folder, "vae", "autoencoder"),
        _shift(scheduler, variant),
        inside(folder, folder / "tokenizer" / "tokenizer.json"),
    )


def _open_single_files(path: Path, variant: str | None) -> ZImageCheckpoint:
    found = find_below(path) if path.is_dir() else find_around(path)
    if variant is None:
        raise ModelError(
            f"{found.transformer.path} does not say whether it is Z-Image-Turbo or the base "
            "Z-Image, whose schedules differ; give `--variant turbo` or `--variant base`"
        )
    return _checkpoint(
        path.resolve().name if path.is_dir() else path.stem,
        path if path.is_dir() else path.parent,
        _Source(found.transformer, None),
        _Source(found.text_encoder, None),
        _Source(found.autoencoder, None),
        SHIFTS[variant],
        found.tokenizer_file,
    )


def _checkpoint(
    name: str,
    folder: Path,
    transformer: _Source,
    text_encoder: _Source,
    autoencoder: _Source,
    shift: float,
    tokenizer_file: Path,
) -> ZImageCheckpoint:
    parts = (transformer.part, text_encoder.part, autoencoder.part)
    for part in parts:
        check_dtypes(part)
    _check_pads(transformer.part)
    transformer_config = keys.config_of(*_both(transformer))
    text_config = qwen3_keys.config_of(*_both(text_encoder))
    vae_config = autoencoder_keys.config_of(*_both(autoencoder))
    transformer_weights = check(
        transformer.part,
        keys.key_map(transformer_config, transformer.part.tensors),
        keys.IGNORED,
    )
    text_weights = check(
        text_encoder.part,
        qwen3_keys.key_map(text_config),
        qwen3_keys.unread(text_encoder.part, text_config),
    )
    decoder_weights, encoder_weights = _vae_weights(autoencoder.part, vae_config)
    _check_fit(parts, transformer_config, text_config, vae_config)
    return ZImageCheckpoint(
        name=name,
        folder=folder,
        transformer=transformer_config,
        text_encoder=text_config,
        autoencoder=vae_config,
        shift=shift,
        tokenizer_file=tokenizer_file,
        weights_id=fingerprint(file for part in parts for file in part.files),
        transformer_weights=transformer_weights,
        text_encoder_weights=text_weights,
        decoder_weights=decoder_weights,
        encoder_weights=encoder_weights,
    )


def _both(source: _Source) -> tuple[Part, ConfigFile | None]:
    return source.part, source.config


def _vae_weights(part: Part, config: AutoencoderConfig) -> tuple[Weights, Weights | None]:
    decoder = autoencoder_keys.key_map(config, "decoder")
    encoder = autoencoder_keys.key_map(config, "encoder")
    whole = any(name.startswith("encoder.") for name in part.tensors)
    decoder_weights = check(part, decoder, encoder.shapes)
    return decoder_weights, check(part, encoder, decoder.shapes) if whole else None


def _check_index(index: ConfigFile) -> None:
    """ModelError unless model_index.json is the plain pipeline of known classes."""
    name = index.values.get("_class_name")
    if name != _PIPELINE:
        custom = isinstance(name, list)
        raise ModelError(
            f"{index.path} is of the pipeline {short(name)}"
            f"{', code of its own that is never run,' if custom else ''} and only {_PIPELINE} is "
            "supported; take Tongyi-MAI/Z-Image-Turbo, Tongyi-MAI/Z-Image or a model made of them"
        )
    for key, value in index.values.items():
        if not key.startswith("_") and value not in (None, [None, None]):
            _check_component(index.path, key, value)
    if missing := _COMPONENTS.keys() - index.values.keys():
        raise ModelError(f"{index.path} lists no {min(missing)}; {AGAIN}")


def _check_component(path: Path, key: str, value: object) -> None:
    if not isinstance(value, list):
        return  # a plain setting of the pipeline
    library, classes = _COMPONENTS.get(key, ("", ()))
    if key not in _COMPONENTS or value not in [[library, one] for one in classes]:
        expected = f"{library}'s {' or '.join(classes)}" if classes else "no such part"
        raise ModelError(
            f"{path} names {short(value)} as its {key} where {expected} was expected, and code "
            "from a model folder is never run; take a plain Z-Image model"
        )


def _component(root: Path, name: str, kind: Kind) -> _Source:
    folder = root / name
    files = open_folder(root, folder)
    part = parts_of(folder, files).get(kind) or part_of(kind, folder, files)
    return _Source(part, read_config(inside(root, folder / "config.json")))


def _shift(scheduler: ConfigFile, variant: str | None) -> float:
    scheduler.only("_class_name", _SCHEDULER)
    scheduler.only("num_train_timesteps", 1000)
    scheduler.only("shift_terminal", None)
    for key in (
        "use_dynamic_shifting",
        "use_karras_sigmas",
        "use_exponential_sigmas",
        "use_beta_sigmas",
        "invert_sigmas",
        "stochastic_sampling",
    ):
        scheduler.only(key, False)
    shift = scheduler.number("shift", 1.0, most=100.0)
    if variant is not None and shift != SHIFTS[variant]:
        raise ModelError(
            f"{scheduler.path} says shift is {shift:g} where variant {variant} has "
            f"{SHIFTS[variant]:g}; leave the variant out, a diffusers folder says its own"
        )
    return shift


def _check_pads(part: Part) -> None:
    missing = [name for name in ("cap_pad_token", "x_pad_token") if name not in part.tensors]
    if missing:
        raise ModelError(
            f"{part.path} lacks {' and '.join(missing)}, as the first single files did, and the "
            "model was trained with them; take the present file of Comfy-Org/z_image_turbo"
        )


def _check_fit(
    parts: Iterable[Part],
    transformer: TransformerConfig,
    text_encoder: Qwen3Config,
    autoencoder: AutoencoderConfig,
) -> None:
    where = ", ".join(str(part.path) for part in parts)
    for what, needed, has in (
        ("caption width", transformer.caption_width, text_encoder.hidden_size),
        ("latent channels", transformer.in_channels, autoencoder.latent_channels),
        ("VAE scale", _DOWNSCALE, autoencoder.downscale),
        ("picture channels", 3, autoencoder.in_channels),
    ):
        if needed != has:
            raise ModelError(
                f"the {what} needed is {needed} and the files have {has} ({where}), so they are "
                "of different models; take files that belong together"
            )
