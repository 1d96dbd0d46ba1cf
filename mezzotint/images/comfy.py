"""ComfyUI's graph: what its sampler was given, found by following the links backwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mezzotint.images.settings import (
    Settings,
    as_number,
    as_seed,
    as_side,
    as_steps,
    as_text,
    from_cfg,
    inner,
    load_object,
)
from mezzotint.types import RequestError

MAX_NODES = 2000  # looked at for one value

_TEXTS = ("text", "prompt", "string", "value", "text_g", "t5xxl", "clip_l", "positive_prompt")
_CONDITIONS = ("conditioning", "conditioning_1", "conditioning_to", "guider")
_NO_CONDITION = "ConditioningZeroOut"  # made of another prompt, and says nothing of it
_NUMBERS = ("value", "seed", "noise_seed", "int", "float", "number")
_MODELS = ("ckpt_name", "unet_name", "model_name")


def parse_comfy(text: str) -> Settings:
    """Read the graph in a picture's `prompt`. RequestError when no sampler is in it."""
    graph = _Graph(load_object(text, "ComfyUI graph"))
    sampler = graph.sampler()
    if sampler is None:
        raise RequestError("the picture's ComfyUI graph has no sampler with a prompt")
    guider = graph.linked(sampler, "guider")
    latent = sampler.get("latent_image", sampler.get("latent"))
    conditions = guider if guider else sampler
    positive = conditions.get("positive", conditions.get("conditioning"))
    return Settings(
        prompt=graph.text(positive, "positive"),
        negative_prompt=graph.text(conditions.get("negative"), "negative"),
        width=as_side(graph.find(latent, ("width",))),
        height=as_side(graph.find(latent, ("height",))),
        steps=as_steps(graph.value(sampler, "steps", via="sigmas")),
        guidance=from_cfg(as_number(graph.value(conditions, "cfg"))),
        seed=as_seed(graph.value(sampler, "seed", "noise_seed", via="noise")),
        model=as_text(graph.find(conditions.get("model"), _MODELS)) or None,
    )


class _Graph:
    """Nodes by id, each with its inputs: plain values, or [id, output] for a link."""

    def __init__(self, nodes: Mapping[str, object]) -> None:
        self._nodes = nodes

    def sampler(self) -> Mapping[str, object] | None:
        """The inputs of the first node that samples towards a prompt."""
        for id in self._nodes:
            inputs = self._inputs(id)
            direct = _link(inputs.get("positive")) and (
                "seed" in inputs or "noise_seed" in inputs or "sigmas" in inputs
            )
            if direct or (_link(inputs.get("guider")) and "sigmas" in inputs):
                return inputs
        return None

    def linked(self, inputs: Mapping[str, object], name: str) -> Mapping[str, object]:
        """The inputs of the node that an input comes from; empty where it is none."""
        id = _link(inputs.get(name))
        return {} if id is None else self._inputs(id)

    def value(self, inputs: Mapping[str, object], *names: str, via: str = "") -> object:
        """The value of an input, or of one of a linked node's."""
        for place in (inputs, self.linked(inputs, via)):
            for name in names:
                found = self._plain(place.get(name))
                if found is not None:
                    return found
        return None

    def text(self, link: object, side: str) -> str:
        """The prompt that a condition was made of; empty where there is none.

        Nodes that change both conditions have an input for each `side`.
        """
        for node, inputs in self._upstream(link, (*_TEXTS, side, *_CONDITIONS)):
            if node.get("class_type") == _NO_CONDITION:
                return ""
            for name in _TEXTS:
                if isinstance(inputs.get(name), str):
                    return as_text(inputs[name])
        return ""

    def find(self, link: object, names: tuple[str, ...]) -> object:
        """The first value of one of these names, at a link or anywhere before it."""
        for _, inputs in self._upstream(link, None):
            found = self.value(inputs, *names)
            if found is not None:
                return found
        return None

    def _plain(self, value: object) -> object:
        """A value, or that of the primitive that a link leads to."""
        if _link(value) is None:
            return value
        for _, inputs in self._upstream(value, _NUMBERS):
            for name in _NUMBERS:
                if name in inputs and _link(inputs[name]) is None:
                    return inputs[name]
        return None

    def _upstream(
        self, link: object, names: tuple[str, ...] | None
    ) -> Iterator[tuple[Mapping[str, object], Mapping[str, object]]]:
        """(node, inputs) from a link backwards, each once, the nearest first."""
        start = _link(link)
        waiting = [] if start is None else [start]
        seen = set(waiting)
        for _ in range(MAX_NODES):
            if not waiting:
                return
            id = waiting.pop(0)
            inputs = self._inputs(id)
            yield inner(self._nodes, id), inputs
            for name in inputs if names is None else names:
                following = _link(inputs.get(name))
                if following is not None and following not in seen:
                    seen.add(following)
                    waiting.append(following)

    def _inputs(self, id: str) -> Mapping[str, object]:
        return inner(inner(self._nodes, id), "inputs")


def _link(value: object) -> str | None:
    """The id of the node that an input comes from."""
    match value:
        case [str(id), int()]:
            return id
        case [int(id), int()]:
            return str(id)
    return None
