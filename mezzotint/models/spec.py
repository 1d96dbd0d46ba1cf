"""What a model folder provides to the engine, and the rows of work it is given."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from mezzotint.models.catalogue import Catalogue
from mezzotint.types import Recipe

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mezzotint.kernels.attention.backend import Backend

PREVIEW_SCALE = 8  # pixels of the picture a side for one of its preview


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The range a model takes; sizes in pixels, guidance in diffusers' meaning."""

    side_multiple: int
    min_side: int
    max_side: int
    min_pixels: int
    max_pixels: int
    max_steps: int
    max_guidance: float
    max_prompt_tokens: int  # template included


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A named set of choices; None leaves the choice to the request."""

    key: str
    zh: str
    en: str
    width: int
    height: int
    steps: int
    guidance: float
    seed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotShapes:
    """The most that one request needs of each buffer, in elements."""

    latent_tokens: int
    latent_width: int
    caption_tokens: int
    caption_width: int
    pixels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A model's description: plain values and pure functions, no tensors."""

    name: str  # as shown and recorded
    family: str  # the model folder
    packing: Literal["tokens", "batch"]
    prediction: Literal["velocity", "epsilon"]
    sampler: Literal["flow_euler", "ddim"]
    guidance_convention: Literal["pos + g (pos - neg)"]
    sizes: tuple[tuple[int, int], ...]  # (width, height) worth offering; the first is the default
    steps: int
    guidance: float
    limits: Limits
    presets: tuple[Preset, ...]
    catalogue: Catalogue | None  # None: a model that knows more than a list can hold
    slot_shapes: SlotShapes
    sigmas: Callable[[int], tuple[float, ...]]  # steps -> noise levels, steps + 1 of them
    signature: Callable[[Recipe, int], tuple[object, ...]]  # equal ones may run as one batch
    cost: Callable[[Recipe], float]  # TFLOP of one denoise step


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeRow:
    """Encode a prompt (and its negative) and draw the noise, into a slot."""

    slot: int
    prompt_ids: tuple[int, ...]
    negative_ids: tuple[int, ...] | None  # None: not guided
    width: int
    height: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow:
    """One denoise step of one request."""

    slot: int
    width: int
    height: int
    prompt_tokens: int
    negative_tokens: int | None  # None: no unconditional forward in this step
    sigma: float
    next_sigma: float
    guidance: float
    rescale: float
    first: bool = False  # of its request
    preview: bool = False  # also write what the step guesses the clean picture to be


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeRow:
    """Turn a slot's latent into pixels."""

    slot: int
    width: int
    height: int


@dataclass(frozen=True, slots=True, eq=False)
class SlotBuffers:
    """The static memory of all requests in flight; row s belongs to slot s.

    Where `pixels` has one row, all slots share it: each picture leaves it before the next comes.
    """

    latents: Tensor  # [N, latent_tokens, latent_width] float32
    captions: Tensor  # [N, 2, caption_tokens, caption_width], with the prompt and the negative
    pixels: Tensor  # [N or 1, pixels, 3] uint8
    previews: Tensor  # [N, pixels / 64, 3] uint8

    def picture(self, slot: int, count: int) -> Tensor:
        """The place of a slot's first `count` pixels [count, 3]."""
        return self.pixels[slot % len(self.pixels), :count]


class Tokenize(Protocol):
    def __call__(self, prompt: str) -> tuple[int, ...]:
        """The prompt's token ids, template included."""
        ...


class Encode(Protocol):
    def __call__(self, rows: Sequence[EncodeRow], slots: SlotBuffers) -> None: ...


class Denoise(Protocol):
    def __call__(self, rows: Sequence[StepRow], slots: SlotBuffers) -> None: ...


class Decode(Protocol):
    def __call__(self, row: DecodeRow, slots: SlotBuffers) -> None: ...

    def prepare(self, width: int, height: int) -> None:
        """A picture of this size will be decoded soon: get ready beside whatever runs."""
        ...


class Replay(Protocol):
    """Runs a function of tensors that launches the same kernels whenever `key` is the same."""

    def __call__(
        self,
        key: Hashable,
        function: Callable[..., Tensor],
        *inputs: Tensor,
        kind: Hashable | None = None,
    ) -> Tensor:
        """function(*inputs), perhaps by replaying a recording of it; one key, one set of shapes.

        Keys of one `kind` launch the same kernels for other shapes; None promises nothing.
        """
        ...

    def prepare(
        self, key: Hashable, function: Callable[..., Tensor], *inputs: Tensor, kind: Hashable
    ) -> None:
        """Begin to record a key that is about to be called; what the inputs hold is not read."""
        ...


class Eager:
    """The Replay that records nothing."""

    def __init__(self, *, ahead: bool = False) -> None:
        pass

    def __call__(
        self,
        key: Hashable,
        function: Callable[..., Tensor],
        *inputs: Tensor,
        kind: Hashable | None = None,
    ) -> Tensor:
        return function(*inputs)

    def prepare(
        self, key: Hashable, function: Callable[..., Tensor], *inputs: Tensor, kind: Hashable
    ) -> None:
        pass


# (*, ahead: bool) -> one for each stage; `ahead`: its keys can be prepared.
MakeReplay = Callable[..., Replay]


OnLoad = Callable[[int, int], None]  # hears of (bytes read, bytes in all) of a model's weights


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Build:
    """Where and how a model is put together."""

    device: torch.device
    dtype: torch.dtype  # of weights and activations, but for those in FP8
    text_rows_on_host: bool = False  # keep the text encoder's embedding rows off the device
    fp8: bool = False  # hold the large products' weights in FP8, row by row
    caption_cache_mib: int
    make_replay: MakeReplay = Eager
    attention: Backend | None = None  # None: by the table of the GPU
    attention_fp8: bool = False  # in the blocks that the model's policy names
    on_load: OnLoad = lambda done, total: None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LoadedModel:
    """A model ready to run: its spec, its tokenizer and the programs of its three stages."""

    spec: ModelSpec
    weights_id: str  # sha256 that names the weights
    weights_bytes: int  # of all networks, as they are held
    tokenize: Tokenize
    encode: Encode
    denoise: Denoise
    decode: Decode
