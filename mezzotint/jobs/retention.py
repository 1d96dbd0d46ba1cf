"""How much history is kept: by count, age and bytes; starred pictures stay and do not count."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mezzotint.jobs import images, store
from mezzotint.jobs.gallery import Gallery


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The most that is kept; None: no such rule."""

    max_count: int | None = None
    max_age_s: float | None = None  # also for jobs without pictures
    max_bytes: int | None = None  # of files, thumbnails aside


def sweep(gallery: Gallery, rules: Rules, now_us: int) -> int:
    """Delete the oldest pictures that are too many. -> how many. ResourceError stops it."""
    rows = gallery.database.read(images.unstarred)
    gone = 0
    for id in list(_excess(rows, rules, now_us)):
        image = gallery.database.read(images.get, id)
        if image is not None and not image.starred:  # it may have got its star just now
            gallery.delete(image)
            gone += 1
    if rules.max_age_s is not None:
        gallery.database.write(store.remove_empty, now_us - int(rules.max_age_s * 1e6))
    return gone


def _excess(
    newest_first: Iterable[tuple[str, int, int]], rules: Rules, now_us: int
) -> Iterator[str]:
    """Ids beyond the rules, of rows (id, created_us, bytes)."""
    count, total = 0, 0
    for id, created_us, num_bytes in newest_first:
        count, total = count + 1, total + num_bytes
        too_many = rules.max_count is not None and count > rules.max_count
        too_large = rules.max_bytes is not None and total > rules.max_bytes
        age_s = (now_us - created_us) / 1e6
        if too_many or too_large or (rules.max_age_s is not None and age_s > rules.max_age_s):
            yield id
