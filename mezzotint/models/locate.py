"""Where a model is: the bundled one, a path, or an id that was pulled."""

from __future__ import annotations

from pathlib import Path

from mezzotint.models.hub import is_model_id, local_path
from mezzotint.types import ModelError

BUNDLED = Path(__file__).parent.parent / "bundled"


def locate(model: str | None) -> Path:
    """The folder or file of a model named by path or id; None is the bundled one.

    Nothing is downloaded: an id that was not pulled is a ModelError that says how to.
    """
    if model is None:
        return BUNDLED
    try:
        path = Path(model).expanduser()
        if path.exists():
            return path
    except (OSError, RuntimeError) as error:  # a RuntimeError of a home that nobody knows
        raise ModelError(f"{model:.50} cannot be looked up ({error}); correct the path") from error
    pulled = local_path(model)
    if pulled is not None:
        return pulled
    remedy = (
        f"fetch it with `mezzotint pull {model}` or correct the path"
        if is_model_id(model)
        else "correct the path, or give an id as organisation/name"
    )
    raise ModelError(f"{model} is neither a path here nor a model that was pulled; {remedy}")
