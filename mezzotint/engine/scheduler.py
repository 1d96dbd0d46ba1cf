"""Which requests take their next step together? Pure Python: no torch, no clock, no threads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from mezzotint.engine.pack import DecodePack, DenoisePack, EncodePack, Pack, StageName
from mezzotint.models.spec import DecodeRow, EncodeRow, StepRow
from mezzotint.types import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One request as the scheduler sees it."""

    id: int
    recipe: Recipe
    prompt_ids: tuple[int, ...]
    negative_ids: tuple[int, ...] | None  # None: not guided
    sigmas: tuple[float, ...]  # steps + 1 noise levels, from 1 to 0
    signature: tuple[object, ...]
    cost: float  # TFLOP of one step
    preview_steps: frozenset[int] = frozenset()  # steps, from 1, that also give a preview


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What may be in flight at once."""

    slots: int
    depth: int = 2  # packs a stage may hold: the host runs at most two steps ahead
    encode_rows: int = 8
    pack_tflop: float = 0.0  # steps are packed while their sum stays below; 0: never
    pack_from: int = 0  # and while so many requests wait or run


@dataclass(slots=True)
class _Running:
    work: Work
    slot: int
    issued: int = 0  # steps handed out
    done: int = 0  # steps known to be finished
    encoded: bool = False
    decoding: bool = False
    dropped: bool = False  # cancelled or failed: no more packs, slot freed when none is in flight
    in_flight: int = 0


@dataclass(frozen=True, slots=True)
class Completion:
    """What a finished pack means for its requests, by id."""

    stepped: tuple[tuple[int, int], ...] = ()  # (request, steps done)
    encoded: tuple[int, ...] = ()
    finished: tuple[int, ...] = ()
    dropped: tuple[int, ...] = ()


@dataclass(slots=True)
class Scheduler:
    """Holds what waits and what runs; free slots are the whole back-pressure."""

    limits: Limits
    _waiting: list[Work] = field(default_factory=list)
    _running: dict[int, _Running] = field(default_factory=dict)  # in order of admission
    _free: list[int] = field(default_factory=list)
    _in_flight: Counter[StageName] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._free = list(range(self.limits.slots))

    @property
    def num_waiting(self) -> int:
        return len(self._waiting)

    @property
    def num_running(self) -> int:
        return len(self._running)

    def submit(self, work: Work) -> None:
        """Queue a request behind those already waiting."""
        self._waiting.append(work)

    def drop(self, request: int) -> bool:
        """Stop a request. True: it is gone now; False: it goes when its packs in flight end."""
        for work in self._waiting:
            if work.id == request:
                self._waiting.remove(work)
                return True
        running = self._running.get(request)
        if running is None:
            return True
        running.dropped = True
        return self._release(running)

    def tick(self) -> tuple[Pack, ...]:
        """The packs to launch now, most urgent first; empty when nothing can start."""
        packs: list[Pack] = []
        # Decode first: it ends a request and frees its slot. Encode next: it feeds the rest.
        for make in (self._decode, self._encode, self._denoise):
            pack = make()
            if pack is not None:
                packs.append(pack)
                self._in_flight[pack.stage] += 1
        return tuple(packs)

    def complete(self, pack: Pack) -> Completion:
        """Take note that a pack has run."""
        self._in_flight[pack.stage] -= 1
        running = [self._running[request] for request in pack.requests]
        for each in running:
            each.in_flight -= 1
            each.encoded = True
            each.done += isinstance(pack, DenoisePack)
        dropped = tuple(r.work.id for r in running if r.dropped and self._release(r))
        kept = [r for r in running if not r.dropped]
        if isinstance(pack, DecodePack):
            finished = tuple(r.work.id for r in kept)
            for each in kept:
                self._remove(each)
            return Completion(finished=finished, dropped=dropped)
        if isinstance(pack, EncodePack):
            return Completion(encoded=tuple(r.work.id for r in kept), dropped=dropped)
        return Completion(stepped=tuple((r.work.id, r.done) for r in kept), dropped=dropped)

    def fail(self, pack: Pack) -> tuple[int, ...]:
        """A pack broke: drop its requests. -> those that were not already dropped."""
        failed = tuple(r for r in pack.requests if not self._running[r].dropped)
        for request in pack.requests:
            self._running[request].dropped = True
        self.complete(pack)
        return failed

    def _decode(self) -> DecodePack | None:
        if not self._room("decode"):
            return None
        for running in self._live():
            recipe = running.work.recipe
            if running.issued == recipe.steps and not running.decoding:
                running.decoding = True
                running.in_flight += 1
                row = DecodeRow(slot=running.slot, width=recipe.width, height=recipe.height)
                return DecodePack((running.work.id,), (row,))
        return None

    def _encode(self) -> EncodePack | None:
        if not self._room("encode"):
            return None
        count = min(len(self._waiting), len(self._free), self.limits.encode_rows)
        if count == 0:
            return None
        admitted = [self._admit(self._waiting.pop(0)) for _ in range(count)]
        return EncodePack(
            tuple(running.work.id for running in admitted),
            tuple(_encode_row(running) for running in admitted),
        )

    def _denoise(self) -> DenoisePack | None:
        if not self._room("denoise"):
            return None
        ready = [r for r in self._live() if r.issued < r.work.recipe.steps]
        # One not encoded yet would make the stage wait; it leads only when nobody else can.
        ready.sort(key=lambda r: not r.encoded)
        if not ready:
            return None
        shares = self.num_waiting + self.num_running >= self.limits.pack_from
        members = _pack(ready, self.limits.pack_tflop if shares else 0.0)
        rows = tuple(_step_row(running) for running in members)
        for running in members:
            running.issued += 1
            running.in_flight += 1
        return DenoisePack(tuple(running.work.id for running in members), rows)

    def _admit(self, work: Work) -> _Running:
        running = _Running(work, self._free.pop(0), in_flight=1)
        self._running[work.id] = running
        return running

    def _release(self, running: _Running) -> bool:
        if running.in_flight == 0:
            self._remove(running)
            return True
        return False

    def _remove(self, running: _Running) -> None:
        del self._running[running.work.id]
        self._free.append(running.slot)

    def _room(self, stage: StageName) -> bool:
        return self._in_flight[stage] < self.limits.depth

    def _live(self) -> Iterable[_Running]:
        return (running for running in self._running.values() if not running.dropped)


def _pack(ready: list[_Running], limit: float) -> list[_Running]:
    """The lead and whoever joins it: equal shapes first, while the sum stays under the limit."""
    lead = ready[0]
    members, total = [lead], lead.work.cost
    ordered = sorted(ready[1:], key=lambda r: r.work.signature != lead.work.signature)
    for running in ordered:
        if running.encoded and total + running.work.cost <= limit:
            members.append(running)
            total += running.work.cost
    return members


def _encode_row(running: _Running) -> EncodeRow:
    work = running.work
    return EncodeRow(
        slot=running.slot,
        prompt_ids=work.prompt_ids,
        negative_ids=work.negative_ids,
        width=work.recipe.width,
        height=work.recipe.height,
        seed=work.recipe.seed,
    )


def _step_row(running: _Running) -> StepRow:
    work, recipe = running.work, running.work.recipe
    sigma, next_sigma = work.sigmas[running.issued : running.issued + 2]
    guided = work.negative_ids is not None and 1.0 - sigma <= recipe.guidance_truncation
    return StepRow(
        slot=running.slot,
        width=recipe.width,
        height=recipe.height,
        prompt_tokens=len(work.prompt_ids),
        negative_tokens=len(work.negative_ids) if guided and work.negative_ids else None,
        sigma=sigma,
        next_sigma=next_sigma,
        guidance=recipe.guidance,
        rescale=recipe.guidance_rescale,
        first=running.issued == 0,
        preview=running.issued + 1 in work.preview_steps,
    )
