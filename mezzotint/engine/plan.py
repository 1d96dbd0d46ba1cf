"""How a budget of device memory is divided: pure arithmetic, before anything is loaded."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from mezzotint.models.footprint import Footprint
from mezzotint.models.spec import PREVIEW_SCALE, Limits, ModelSpec, SlotShapes
from mezzotint.types import Precision, Recipe, RequestError, ResourceError

MAX_GRAPH_BYTES = 2 * 2**30  # graphs beyond that are of shapes that hardly come twice


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the memory is for."""

    precision: Precision
    slots: int
    graphs: bool
    rows_on_host: bool  # the text encoder's embedding rows stay in the host's memory
    shared_pixels: bool  # all slots write their pixels to one place
    fixed: int  # bytes of the caption cache, and of what libraries keep for themselves


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Bytes to divide, and where the number came from."""

    num_bytes: int
    asked: bool  # --memory said so; otherwise it is what the device has free


@dataclass(frozen=True, slots=True)
class Largest:
    """The largest pictures that a runner has memory for, in pixels; 0: none."""

    plain: int
    guided: int

    def check(self, recipe: Recipe) -> None:
        """RequestError for a picture that is larger."""
        pixels, most = recipe.width * recipe.height, self.guided if recipe.guided else self.plain
        if pixels > most:
            kind = " with guidance" if recipe.guided else ""
            raise RequestError(
                f"{recipe.width}x{recipe.height} is {pixels} pixels and there is memory for "
                f"{most}{kind}; ask for a smaller size, or start the server with more --memory"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPlan:
    """Who gets how much of a budget, in bytes."""

    budget: Budget
    weights: int
    slots: int
    slot_shapes: SlotShapes  # of the largest picture that fits
    graphs: int  # for the pools of recorded graphs; 0: record none
    room: int  # for what the stages hold of one picture at once
    rows_on_host: bool
    footprint: Footprint
    limits: Limits

    @property
    def largest(self) -> Largest:
        """The most pixels that `check` lets pass."""
        return Largest(plain=self._most_pixels(False), guided=self._most_pixels(True))

    def check(self, width: int, height: int, guided: bool) -> None:
        """RequestError if a picture does not fit, with the largest square that would."""
        if self._fits(width * height, guided):
            return
        needed = self.footprint.work(width * height, guided)
        kind = " with guidance" if guided else ""
        side = _largest_side(self.limits, lambda pixels: self._fits(pixels, guided))
        remedy = f"the largest square{kind} that fits is {side}x{side}" if side else "none fits"
        raise RequestError(
            f"{width}x{height}{kind} takes {gib(needed, math.ceil)} beside the weights and the "
            f"memory budget of {gib(self.budget.num_bytes)} leaves {gib(self.room, int)}; "
            f"{remedy}, or start with more --memory"
        )

    def _fits(self, pixels: int, guided: bool) -> bool:
        return pixels <= self.slot_shapes.pixels and (
            self.footprint.work(pixels, guided) <= self.room
        )

    def _most_pixels(self, guided: bool) -> int:
        tile = self.limits.side_multiple**2  # every picture has a multiple of it
        counts = range(1, self.limits.max_pixels // tile + 1)
        return tile * bisect_left(counts, True, key=lambda n: not self._fits(n * tile, guided))


def make_plan(
    spec: ModelSpec, footprints: Mapping[Precision, Footprint], budget: Budget, wanted: Wanted
) -> MemoryPlan:
    """Divide a budget among weights, slots, pictures and graphs.

    `footprints` holds the precision wanted and all others that the device has. A picture of the
    model's own size comes first, then slots, then graphs for that size, then larger sizes.
    ResourceError if not even the smallest picture fits, with a precision that does.
    """
    sizes = _Sizes(spec, footprints[wanted.precision], wanted)
    if sizes.total(sizes.smallest, 1) > budget.num_bytes:
        raise ResourceError(_refusal(spec, footprints, budget, wanted))
    own = max(math.prod(spec.sizes[0]), sizes.smallest)
    first = own if sizes.total(own, 1) <= budget.num_bytes else sizes.smallest
    slots = max(
        n for n in range(1, wanted.slots + 1) if n == 1 or sizes.total(first, n) <= budget.num_bytes
    )
    spare = budget.num_bytes - sizes.total(first, slots)
    reserved = min(sizes.work(first), spare) if wanted.graphs else 0
    side = _largest_side(
        spec.limits, lambda p: sizes.total(p, slots) + reserved <= budget.num_bytes
    )
    largest = max(first, side**2)
    left = budget.num_bytes - sizes.total(largest, slots)
    # Less than the smallest picture's graphs take would only be recorded and dropped in turn.
    enough = wanted.graphs and left >= sizes.work(sizes.smallest)
    graphs = min(left, MAX_GRAPH_BYTES) if enough else 0
    return MemoryPlan(
        budget=budget,
        weights=sizes.weights,
        slots=slots,
        slot_shapes=shapes_for(spec.slot_shapes, largest),
        graphs=graphs,
        room=sizes.work(largest) + left - graphs,
        rows_on_host=wanted.rows_on_host,
        footprint=sizes.footprint,
        limits=spec.limits,
    )


def shapes_for(shapes: SlotShapes, pixels: int) -> SlotShapes:
    """A slot's shapes when pictures have at most so many pixels."""
    pixels = min(pixels, shapes.pixels)
    tokens = -(-shapes.latent_tokens * pixels // shapes.pixels)
    return replace(shapes, latent_tokens=tokens, pixels=pixels)


def slot_bytes(shapes: SlotShapes, element: int) -> int:
    """Bytes of one slot: the latent in float32, two captions and a preview."""
    latent = 4 * shapes.latent_tokens * shapes.latent_width
    captions = 2 * element * shapes.caption_tokens * shapes.caption_width
    return latent + captions + 3 * (shapes.pixels // PREVIEW_SCALE**2)


def pixel_bytes(shapes: SlotShapes) -> int:
    """Bytes of one slot's pixels."""
    return 3 * shapes.pixels


def gib(num_bytes: int, rounded: Callable[[float], int] = round) -> str:
    """Bytes as people read them: 18.9 GiB, 512 MiB.

    In advice what is needed is rounded up and what there is down, so that it can be followed.
    """
    if num_bytes < 2**30:
        return f"{rounded(num_bytes / 2**20)} MiB"
    return f"{rounded(num_bytes / 2**30 * 10) / 10} GiB"


@dataclass(frozen=True, slots=True)
class _Sizes:
    """What things take, for one model in one precision."""

    spec: ModelSpec
    footprint: Footprint
    wanted: Wanted

    @property
    def weights(self) -> int:
        rows = 0 if self.wanted.rows_on_host else self.footprint.text_rows
        return self.footprint.weights + rows

    @property
    def smallest(self) -> int:
        """Pixels of the smallest picture."""
        limits = self.spec.limits
        return max(limits.min_pixels, limits.min_side**2)

    def work(self, pixels: int) -> int:
        return self.footprint.work(pixels, self.spec.guidance > 0)

    def total(self, pixels: int, slots: int) -> int:
        """All that is needed for pictures of up to so many pixels, without graphs."""
        shapes = shapes_for(self.spec.slot_shapes, pixels)
        buffers = slots * slot_bytes(shapes, self.footprint.element)
        buffers += (1 if self.wanted.shared_pixels else slots) * pixel_bytes(shapes)
        return self.weights + self.wanted.fixed + buffers + self.work(pixels)


def _largest_side(limits: Limits, fits: Callable[[int], bool]) -> int:
    """The side of the largest square among the model's sizes whose pixels fit; 0: none."""
    most = min(limits.max_side, math.isqrt(limits.max_pixels))
    sides = range(most - most % limits.side_multiple, limits.min_side - 1, -limits.side_multiple)
    return next((s for s in sides if s**2 >= limits.min_pixels and fits(s**2)), 0)


def _refusal(
    spec: ModelSpec, footprints: Mapping[Precision, Footprint], budget: Budget, wanted: Wanted
) -> str:
    least: dict[Precision, int] = {}
    for precision, footprint in footprints.items():
        sizes = _Sizes(spec, footprint, replace(wanted, precision=precision))
        least[precision] = sizes.total(sizes.smallest, 1)
    needed, num_bytes = least[wanted.precision], budget.num_bytes
    most, least_of_all = gib(num_bytes, int), gib(needed, math.ceil)
    has = f"--memory is {most}" if budget.asked else f"{most} are free for it"
    sentence = f"{spec.name} in {wanted.precision} needs {least_of_all} at the least, and {has}; "
    fitting = [precision for precision in least if least[precision] <= num_bytes]
    if fitting:
        best = max(fitting, key=lambda precision: least[precision])
        return sentence + f"use --precision {best}, which needs {gib(least[best], math.ceil)}"
    thrifty = min(least, key=lambda precision: least[precision])
    more = f"give it {gib(least[thrifty], math.ceil)}" + (
        "" if thrifty == wanted.precision else f" and --precision {thrifty}"
    )
    return sentence + more + ", or take a device with more memory"
