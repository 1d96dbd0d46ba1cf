"""What may be changed of a running server, one by one: its name, its meaning, its bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from mezzotint.config import make
from mezzotint.jobs.dispatch import WAIT_TARGET_S
from mezzotint.server.open_steps import OFF, parse_range
from mezzotint.types import MetadataLevel, RequestError, StepRange

MAX_QUEUE = 64

Kind = Literal["integer", "number", "choice", "text", "range"]
Value = int | float | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """Settings that count from the next request on."""

    max_queue: int = MAX_QUEUE
    steps_range: str = OFF  # or MIN-MAX
    wait_target_s: float = WAIT_TARGET_S
    results_mib: int = 256
    metadata: MetadataLevel = "minimal"  # prompts may be private, and these files travel
    keep_pictures: int = 0  # 0: all
    keep_days: float = 0.0
    keep_gib: float = 0.0

    @property
    def open_steps(self) -> StepRange | None:
        """What a request gets that leaves its steps open; None: the model's own number."""
        return parse_range(self.steps_range)


@dataclass(frozen=True, slots=True, kw_only=True)
class Knob:
    """One setting that may be changed; its bounds include both ends."""

    name: str
    en: str
    zh: str
    kind: Kind
    min: float | None = None
    max: float | None = None  # of a text: characters
    choices: tuple[str, ...] = ()
    live: bool = True  # false: counts from the next start on

    @property
    def default(self) -> Value:
        """What holds where nobody said anything."""
        value: Value = getattr(Live() if self.live else make(), self.name)
        return value

    def check(self, value: object) -> Value:
        """The value; RequestError when it is none of this setting's."""
        match self.kind, value:
            case "integer", int() if not isinstance(value, bool) and self._within(value):
                return value
            case "number", int() | float() if not isinstance(value, bool) and self._within(value):
                return float(value)
            case "choice", str() if value in self.choices:
                return value
            case "text", str() if value.isprintable() and 0 < len(value) <= (self.max or 0):
                return value
            case "range", str() if self._is_range(value):
                return value
        raise RequestError(f"{self.name} must be {self._wanted()}")

    def _within(self, value: float) -> bool:
        return (self.min or 0) <= value <= (self.max or 0)

    def _is_range(self, value: str) -> bool:
        try:
            bounds = parse_range(value)
        except ValueError:
            return False
        return bounds is None or (self._within(bounds.min) and self._within(bounds.max))

    def _wanted(self) -> str:
        if self.kind == "range":
            return f"{OFF}, or the least and the most, {self.min:g} to {self.max:g}, such as 4-16"
        if self.kind == "choice":
            return f"one of {', '.join(self.choices)}"
        if self.kind == "text":
            return f"a printable text of 1 to {self.max:g} characters"
        noun = "a whole number" if self.kind == "integer" else "a number"
        return f"{noun} from {self.min:g} to {self.max:g}"


KNOBS = (
    Knob(
        name="max_queue",
        en="Pictures accepted and not finished; beyond, clients are told to wait.",
        zh="已接受而未完成的图片数上限；超出时客户端会被告知稍候。",
        kind="integer",
        min=1,
        max=10_000,
    ),
    Knob(
        name="steps_range",
        en="Steps of pictures whose request names neither steps nor a preset: off, the model's "
        "own number; 4-16, as many of them as the load allows.",
        zh="请求未指定步数与预设时的步数：off 为模型自身的步数；4-16 则在此范围内随负载取值。",
        kind="range",
        min=1,
        max=1000,
    ),
    Knob(
        name="wait_target_s",
        en="Seconds of work in the queue beyond which pictures with a range of steps get fewer; at "
        "twice as many, the fewest.",
        zh="队列中的工作超过此秒数时，带步数范围的图片会得到较少的步数；达到两倍时取最少步数。",
        kind="number",
        min=0.1,
        max=3_600,
    ),
    Knob(
        name="results_mib",
        en="Memory for pictures behind signed links, MiB; the oldest make room.",
        zh="签名链接所指图片占用的内存（MiB）；最旧的先让位。",
        kind="integer",
        min=1,
        max=65_536,
    ),
    Knob(
        name="metadata",
        en="What files say of how they were made; every level but none marks them as made by AI.",
        zh="图片文件中写入的生成信息；除 none 外都带有 AI 生成标识。",
        kind="choice",
        choices=get_args(MetadataLevel),
    ),
    Knob(
        name="keep_pictures",
        en="Pictures kept; the oldest without a star go first. 0: all.",
        zh="保留的图片数；未收藏的最旧图片先删除。0：全部保留。",
        kind="integer",
        min=0,
        max=10_000_000,
    ),
    Knob(
        name="keep_days",
        en="Days that pictures without a star are kept. 0: for ever.",
        zh="未收藏的图片保留的天数。0：永久。",
        kind="number",
        min=0,
        max=36_500,
    ),
    Knob(
        name="keep_gib",
        en="Disk for pictures without a star, GiB; the oldest go first. 0: no limit.",
        zh="未收藏的图片占用的磁盘上限（GiB）；最旧的先删除。0：不限。",
        kind="number",
        min=0,
        max=1_000_000,
    ),
    Knob(
        name="producer",
        en="The producer named in the AI-content marks of files.",
        zh="写入图片 AI 生成标识中的生产者名称。",
        kind="text",
        max=200,
        live=False,
    ),
    Knob(
        name="caption_cache_mib",
        en="Memory for encoded prompts that are used again, MiB.",
        zh="缓存已编码提示词的内存（MiB）。",
        kind="integer",
        min=0,
        max=65_536,
        live=False,
    ),
)
BY_NAME = {knob.name: knob for knob in KNOBS}
