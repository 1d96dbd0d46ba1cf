"""A Runner without a model: gradients after a delay, with real Tickets, stats and files."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial

import numpy as np

from mezzotint.engine.pack import DecodePack, DenoisePack, EncodePack, Pack
from mezzotint.engine.plan import Largest
from mezzotint.engine.record import Interval, Mark, Observation
from mezzotint.engine.recorder import About, Recorder
from mezzotint.engine.stats import EngineStats, Timeline
from mezzotint.engine.ticket import EngineTicket
from mezzotint.images.file import encode
from mezzotint.models.recipe import preview_steps, resolve
from mezzotint.models.spec import Limits, ModelSpec, Preset, SlotShapes
from mezzotint.samplers import flow_sigmas
from mezzotint.types import (
    Cancelled,
    Image,
    Progress,
    ProgressStage,
    PromptTooLongError,
    Provenance,
    Recipe,
    Request,
)

SHIFT = 3.0
_PACKS = {"encode": EncodePack, "denoise": DenoisePack, "decode": DecodePack}
MAX_PROMPT_TOKENS = 512
LIMITS = Limits(
    side_multiple=16,
    min_side=64,
    max_side=256,
    min_pixels=64 * 64,
    max_pixels=256 * 256,
    max_steps=120,
    max_guidance=20.0,
    max_prompt_tokens=MAX_PROMPT_TOKENS,
)

SPEC = ModelSpec(
    name="fake",
    family="fake",
    packing="tokens",
    prediction="velocity",
    sampler="flow_euler",
    guidance_convention="pos + g (pos - neg)",
    sizes=((128, 128),),
    steps=20,
    guidance=1.5,
    limits=LIMITS,
    presets=(
        Preset(key="quick", zh="快速", en="Quick", width=64, height=64, steps=8, guidance=0.0),
        Preset(key="fine", zh="精细", en="Fine", width=128, height=128, steps=50, guidance=1.5),
    ),
    slot_shapes=SlotShapes(
        latent_tokens=LIMITS.max_pixels // 256,
        latent_width=64,
        caption_tokens=MAX_PROMPT_TOKENS,
        caption_width=64,
        pixels=LIMITS.max_pixels,
    ),
    sigmas=partial(flow_sigmas, shift=SHIFT),
    signature=lambda recipe, tokens: (recipe.width, recipe.height, tokens, recipe.guided),
    catalogue=None,
    cost=lambda recipe: recipe.width * recipe.height / 1e6,
)
PROVENANCE = Provenance(
    model="fake", weights="0" * 64, precision="fp32", device="cpu", versions=(("fake", "1"),)
)


def count_tokens(prompt: str) -> int:
    """As many as words, and a template of two. PromptTooLongError beyond the limit."""
    tokens = len(prompt.split()) + 2
    if tokens > MAX_PROMPT_TOKENS:
        raise PromptTooLongError(f"the prompt has {tokens} tokens; shorten it")
    return tokens


def gradient(recipe: Recipe) -> np.ndarray:
    """The pixels a fake makes: two ramps and the seed."""
    x = np.linspace(0, 255, recipe.width, dtype=np.uint8)[None, :]
    y = np.linspace(0, 255, recipe.height, dtype=np.uint8)[:, None]
    tint = np.full((recipe.height, recipe.width), recipe.seed % 256, dtype=np.uint8)
    wide = np.broadcast_to(x, tint.shape), np.broadcast_to(y, tint.shape)
    return np.ascontiguousarray(np.stack((*wide, tint), axis=-1))


class FakeRunner:
    """Takes `step_s` seconds a step; `error`, if set, ends every picture after its last step.

    `slots` pictures take their steps side by side, or one after the other with `one_device`.
    """

    provenance = PROVENANCE

    def __init__(
        self,
        step_s: float = 0.0,
        slots: int = 8,
        error: Exception | None = None,
        *,
        spec: ModelSpec = SPEC,
        draw: Callable[[Recipe], np.ndarray] = gradient,
        one_device: bool = False,
        largest: Largest | None = None,
    ) -> None:
        self.step_s = step_s
        self.error = error
        self.spec = spec
        self.largest = largest or Largest(spec.limits.max_pixels, spec.limits.max_pixels)
        self._draw = draw
        self._device = threading.Lock() if one_device else nullcontext()
        self.seen: deque[Recipe] | list[Recipe] = deque(
            maxlen=99
        )  # the newest that it was asked for
        self._ids = itertools.count()
        self._recorder = Recorder(About("cpu", "fp32", "host", lambda: {"weights": 1, "slots": 2}))
        self._lock = threading.Lock()
        self._cancelled: set[int] = set()
        self._waiting = 0
        self._running = 0
        self._closed = False
        self._pool = ThreadPoolExecutor(slots, thread_name_prefix="fake-runner")

    def submit(self, request: Request) -> EngineTicket:
        return self.submit_all([request])[0]

    def submit_all(self, requests: Sequence[Request]) -> list[EngineTicket]:
        tickets = [self._admit(request) for request in requests]
        if self._closed:
            raise Cancelled("the runner was closed")
        for ticket in tickets:
            cost = SPEC.cost(ticket.recipe)
            self._recorder.arrived(ticket.id, ticket.recipe, cost, ticket.timeline.submitted)
            with self._lock:
                self._waiting += 1
            self._pool.submit(self._run, ticket)
        return tickets

    def stats(self) -> EngineStats:
        with self._lock:
            return EngineStats(
                waiting=self._waiting,
                running=self._running,
                outcomes=dict(self._recorder.stats.outcomes),
                stage_ms=self._recorder.stats.stage_ms(),
                clock="host",
            )

    def observe(self, after: Mark) -> Observation:
        return self._recorder.observe(after)

    def close(self) -> None:
        self._closed = True
        self._pool.shutdown()

    def _admit(self, request: Request) -> EngineTicket:
        recipe = resolve(request, self.spec)
        count_tokens(recipe.prompt)
        self.seen.append(recipe)
        timeline = Timeline(time.monotonic())
        return EngineTicket(
            next(self._ids),
            recipe,
            self._cancel,
            request=request,
            timeline=timeline,
            is_own_thread=lambda: False,
        )

    def _cancel(self, id: int) -> None:
        self._cancelled.add(id)

    def _run(self, ticket: EngineTicket) -> None:
        with self._lock:
            self._waiting -= 1
            self._running += 1
        try:
            image = self._make(ticket)
        except Exception as error:  # whatever it is, the ticket's holder must hear of it
            self._end(ticket, "cancelled" if isinstance(error, Cancelled) else "failed")
            ticket.fail(error)
        else:
            self._end(ticket, "finished", image)
            ticket.succeed(image)

    def _end(self, ticket: EngineTicket, outcome: str, image: Image | None = None) -> None:
        with self._lock:
            self._running -= 1
        self._recorder.ended(ticket.id, outcome, image.spans if image else ())  # type: ignore[arg-type]

    def _make(self, ticket: EngineTicket) -> Image:
        recipe, request = ticket.recipe, ticket.request
        ticket.timeline.queued_until(time.monotonic())
        with self._device:
            self._work(ticket, "encode", 1)
            self._work(ticket, "denoise", recipe.steps)
        if self.error is not None:
            raise self.error
        pixels = self._draw(recipe)
        self._work(ticket, "decode", 0)
        start = time.monotonic()
        data = encode(
            pixels,
            request.format,
            recipe,
            PROVENANCE,
            "fake",
            request.metadata,
            request.steps_range,
        )
        end = time.monotonic()
        ticket.timeline.add("file", start, end)
        self._recorder.wrote(ticket.id, Interval(start, end))
        spans = tuple(ticket.timeline.spans)
        return Image(pixels, data, request.format, recipe, PROVENANCE, spans)

    def _work(self, ticket: EngineTicket, stage: ProgressStage, steps: int) -> None:
        start = time.monotonic()
        pack = _PACKS[stage]((ticket.id,), ())
        looks = preview_steps(ticket.recipe.steps, ticket.request.previews)
        for step in range(1, steps + 1):
            begin = time.monotonic()
            if ticket.id in self._cancelled or self._closed:
                raise Cancelled("the picture was cancelled")
            if self.step_s:
                time.sleep(self.step_s)
            seen = self._draw(ticket.recipe)[::8, ::8] if step in looks else None
            ticket.report(
                Progress(stage, step, ticket.recipe.steps, seen if stage == "denoise" else None)
            )
            self._note(pack, begin)
        if steps == 0:
            self._note(pack, start)
        ticket.timeline.add(stage, start, time.monotonic())

    def _note(self, pack: Pack, begin: float) -> None:
        self._recorder.launching(pack)
        self._recorder.ran(pack, Interval(begin, time.monotonic()), replayed=False)
