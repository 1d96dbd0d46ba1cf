"""What A1111's clients send, and what they are answered."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mezzotint.server.settings import MAX_PICTURES, MAX_PROMPT_CHARACTERS
from mezzotint.types import MAX_SEED

_Text = Annotated[str, Field(max_length=MAX_PROMPT_CHARACTERS)]
_Word = Annotated[str, Field(max_length=200)]
_Count = Annotated[int, Field(ge=1, le=MAX_PICTURES)]
_Side = Annotated[int, Field(ge=16, le=65_536)]
_AnyInteger = Annotated[int, Field(ge=-MAX_SEED, le=MAX_SEED)]
_AnyNumber = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]

_HIRES: Any = Field(None, description="Has no effect without enable_hr.")
_SUBSEED: Any = Field(None, description="Has no effect without a subseed.")
_SAMPLING: Any = Field(None, description="Has no effect on this sampler.")


class Txt2Img(BaseModel):
    """A1111's request; null and what is left out mean the model's own. Others are errors."""

    model_config = ConfigDict(extra="forbid", strict=True)

    prompt: _Text | None = Field("", description="What to draw; may be empty.")
    negative_prompt: _Text | None = Field(
        "", description="What to keep out; without effect at a CFG scale of 1."
    )
    steps: Annotated[int, Field(ge=1, le=1000)] | None = Field(None, description="Denoise steps.")
    cfg_scale: Annotated[float, Field(ge=1, le=101, allow_inf_nan=False)] | None = Field(
        None, description="The CFG weight, neg + c (pos - neg): 1 is off."
    )
    width: _Side | None = Field(None, description="px, with height.")
    height: _Side | None = Field(None, description="px, with width.")
    seed: Annotated[int, Field(ge=-1, le=MAX_SEED)] | None = Field(
        -1, description="-1: drawn at random; `info` says which."
    )
    batch_size: _Count | None = Field(1, description="Pictures, times n_iter at most 10.")
    n_iter: _Count | None = Field(1, description="Pictures, times batch_size at most 10.")
    sampler_name: _Word | None = Field(None, description="One that /sdapi/v1/samplers lists.")
    sampler_index: _Word | None = Field(None, description="An old name of sampler_name.")
    scheduler: _Word | None = Field(None, description="Only automatic.")
    send_images: bool = Field(True, description="false: only `info` is answered.")
    override_settings: dict[str, Any] | None = Field(
        None, max_length=20, description="Only with the values that /sdapi/v1/options has."
    )
    # Without effect on the picture here: taken as they come.
    save_images: bool = Field(False, description="Has no effect.")
    do_not_save_samples: bool = Field(False, description="Has no effect.")
    do_not_save_grid: bool = Field(False, description="Has no effect.")
    override_settings_restore_afterwards: bool = Field(True, description="Has no effect.")
    disable_extra_networks: bool | None = Field(False, description="Has no effect.")
    force_task_id: _Word | None = Field(None, description="Has no effect.")
    comments: Any = Field(None, description="Has no effect.")
    refiner_switch_at: _AnyNumber | None = Field(
        None, description="Has no effect without refiner_checkpoint."
    )
    denoising_strength: _AnyNumber | None = _HIRES
    subseed: _AnyInteger | None = Field(-1, description="Has no effect at subseed_strength 0.")
    seed_resize_from_h: _AnyInteger | None = _SUBSEED
    seed_resize_from_w: _AnyInteger | None = _SUBSEED
    firstphase_width: _AnyInteger | None = _HIRES
    firstphase_height: _AnyInteger | None = _HIRES
    hr_scale: _AnyNumber | None = _HIRES
    hr_upscaler: _Word | None = _HIRES
    hr_second_pass_steps: _AnyInteger | None = _HIRES
    hr_resize_x: _AnyInteger | None = _HIRES
    hr_resize_y: _AnyInteger | None = _HIRES
    hr_checkpoint_name: _Word | None = _HIRES
    hr_sampler_name: _Word | None = _HIRES
    hr_scheduler: _Word | None = _HIRES
    hr_additional_modules: list[_Word] | None = _HIRES
    hr_prompt: _Text | None = _HIRES
    hr_negative_prompt: _Text | None = _HIRES
    eta: _AnyNumber | None = _SAMPLING
    s_churn: _AnyNumber | None = _SAMPLING
    s_tmax: _AnyNumber | None = _SAMPLING
    s_tmin: _AnyNumber | None = _SAMPLING
    s_noise: _AnyNumber | None = _SAMPLING
    script_args: list[Any] | None = Field(
        None, max_length=1000, description="Has no effect without a script."
    )
    # Would change the picture in ways that are not here: refused unless off.
    enable_hr: bool | None = Field(False, description="Only false.")
    restore_faces: bool | None = Field(False, description="Only false.")
    tiling: bool | None = Field(False, description="Only false.")
    subseed_strength: _AnyNumber | None = Field(0, description="Only 0.")
    styles: list[_Word] | None = Field(None, max_length=100, description="Only empty.")
    script_name: _Word | None = Field(None, description="Only empty.")
    alwayson_scripts: dict[str, Any] | None = Field(None, max_length=100, description="Only empty.")
    refiner_checkpoint: _Word | None = Field(None, description="Only empty.")
    firstpass_image: _Word | None = Field(None, description="Only empty.")
    infotext: _Text | None = Field(None, description="Only empty.")
    s_min_uncond: _AnyNumber | None = Field(0, description="Only 0.")
    clip_skip: Literal[1] | None = Field(1, description="Only 1: there is no CLIP (SD.Next's).")


OFF = (
    "enable_hr",
    "restore_faces",
    "tiling",
    "subseed_strength",
    "styles",
    "script_name",
    "alwayson_scripts",
    "refiner_checkpoint",
    "firstpass_image",
    "infotext",
    "s_min_uncond",
)


class Txt2ImgAnswer(BaseModel):
    """Finished pictures; those before an interruption, when there was one."""

    images: list[str] = Field(description="PNG files in base64, in the order of their seeds.")
    parameters: dict[str, Any] = Field(description="What was asked, with every choice made.")
    info: str = Field(description="A JSON document: seeds, sizes, infotexts.")


class ProgressState(BaseModel):
    """A1111's state of its one job; here of the caller's newest."""

    skipped: bool = Field(description="Always false.")
    interrupted: bool = Field(description="The call is ending.")
    job: str = Field(description="txt2img, or empty when nothing runs.")
    job_count: int = Field(description="Pictures.")
    job_timestamp: str = Field(description="When it began, local time, as 20261125145500.")
    job_no: int = Field(description="Pictures that are finished.")
    sampling_step: int = Field(description="Steps done of each, when all are drawn together.")
    sampling_steps: int = Field(description="Steps of each picture.")


class Progress(BaseModel):
    """How far the caller's newest call is."""

    progress: float = Field(description="0 to 1; 0 when nothing runs.")
    eta_relative: float = Field(description="Seconds until it is finished; 0: not known.")
    state: ProgressState
    current_image: str | None = Field(description="The newest look at it, a PNG in base64.")
    textinfo: str | None = Field(description="Always null.")


class Sampler(BaseModel):
    """A way to draw."""

    name: str = Field(description="As sampler_name takes it.")
    aliases: list[str] = Field(description="Other names of it that are taken.")
    options: dict[str, str] = Field(description="Always empty.")


class SdModel(BaseModel):
    """A model that is served."""

    title: str = Field(description="Name and hash, as the option sd_model_checkpoint has it.")
    model_name: str = Field(description="As /v1/models lists it.")
    hash: str = Field(description="The first ten digits of sha256.")
    sha256: str = Field(description="Names the weights: a hash over their headers and sizes.")
    filename: str = Field(description="The name with an ending; no path.")
    config: str | None = Field(description="Always null.")
