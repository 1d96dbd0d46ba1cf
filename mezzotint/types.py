"""Frozen values that flow down the pipe: Request -> Recipe -> (Pack) -> Image."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    import numpy as np

Format = Literal["png", "webp", "jpeg"]
MetadataLevel = Literal["full", "minimal", "none"]
ProgressStage = Literal["encode", "denoise", "decode", "file"]
Precision = Literal["fp32", "bf16", "fp8"]

MAX_SEED = 2**63 - 1


class MezzotintError(Exception):
    """Base of every error a user can cause; its text is one sentence with the remedy."""


class RequestError(MezzotintError, ValueError):
    """A request asks for something outside the limits."""

    code: ClassVar[str] = "invalid_value"  # a server's word for it, for programs


class PromptTooLongError(RequestError):
    """A prompt has more tokens than the model takes; the text says how many, and the limit."""

    code = "prompt_too_long"


class NoSettingsError(RequestError):
    """A picture file says nothing of how it was made."""

    code = "no_settings"


class ConfigError(MezzotintError, ValueError):
    """A flag, an environment variable or the configuration file is wrong."""


class ModelError(MezzotintError):
    """A model's files are missing, damaged, unsafe or of another kind."""


class ResourceError(MezzotintError):
    """The machine lacks what the work needs: memory, disk, a GPU, a GPU feature."""


class Cancelled(MezzotintError):
    """The picture was cancelled before it was finished."""


@dataclass(frozen=True, slots=True)
class StepRange:
    """Denoise steps left to the moment: never fewer than `min`, never more than `max`."""

    min: int
    max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One picture asked for; None means the model's own default.

    Sizes are in pixels. `guidance` has diffusers' meaning: pred = pos + g * (pos - neg), so it is
    the usual CFG weight minus one and 0 turns it off. `guidance_rescale` caps the norm of the
    guided prediction at that multiple of the conditional one's (0: no cap). Guidance stops once
    the time 1 - sigma exceeds `guidance_truncation`. A seed of -1 is drawn at random and recorded.
    With `steps_range` a server chooses `steps` inside it by how busy it is; an engine that gets no
    choice takes the most.
    """

    prompt: str
    negative_prompt: str = ""
    width: int | None = None
    height: int | None = None
    steps: int | None = None
    steps_range: StepRange | None = None
    guidance: float | None = None
    guidance_rescale: float = 0.0
    guidance_truncation: float = 1.0
    seed: int | None = None
    preset: str | None = None
    previews: int = 0  # looks at the unfinished picture, the first after step 1
    format: Format = "png"
    metadata: MetadataLevel = "full"
    empty_prompt: bool = False  # an empty prompt is meant, and no mistake


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A request with every choice made: all that decides the pixels, and nothing else."""

    prompt: str
    negative_prompt: str
    width: int  # px
    height: int  # px
    steps: int
    guidance: float  # diffusers' meaning: CFG - 1
    guidance_rescale: float
    guidance_truncation: float
    seed: int

    @property
    def guided(self) -> bool:
        """Whether any step runs a second, unconditional forward: the first, at time 0, always."""
        return self.guidance > 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What besides the recipe decides the bytes: the model and the machine kind."""

    model: str
    weights: str  # sha256 over the weight files' headers and sizes
    precision: str
    device: str
    versions: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Span:
    """One timed piece of work: stage name, start and length in milliseconds since submission."""

    stage: str
    start_ms: float
    length_ms: float


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """A finished picture: pixels, the file's bytes and how it was made."""

    # Neither is in its repr: a prompt that shows a picture would show megabytes.
    pixels: np.ndarray = field(repr=False)  # [height, width, 3] uint8
    data: bytes = field(repr=False)  # the encoded file
    format: Format
    recipe: Recipe
    provenance: Provenance
    spans: tuple[Span, ...] = field(default=())
    submitted_s: float = 0.0  # the host's monotonic clock, from which the spans count

    def save(self, path: str | Path) -> Path:
        """Write the file's bytes to `path` and return it; an existing file is an error.

        OSError where it cannot be written; then nothing of it is left.
        """
        path = Path(path)
        opened = path.open("xb")
        try:
            with opened as file:
                file.write(self.data)
        except BaseException:
            path.unlink()
            raise
        return path


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a request stands: `step` of `steps` are done in the named stage."""

    stage: ProgressStage
    step: int
    steps: int
    # [height / 8, width / 8, 3] uint8: the clean picture as this step guesses it
    preview: np.ndarray | None = field(default=None, compare=False, repr=False)
