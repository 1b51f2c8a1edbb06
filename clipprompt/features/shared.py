"""Features of a set that all learners of a backbone share: the tower sees each picture once.

    with a cache       on disk, for this process and others: of files as float16, of drawn pictures as float32
    without a cache    in memory, as long as the backbone is there

Base and novel classes, seeds, methods, known labels and protocols are other readings of the same rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from clipprompt.backbone import Backbone
from clipprompt.datasets.decoding import open_image
from clipprompt.features.cache import cache_name
from clipprompt.features.image_cache import ImageCache, image_key
from clipprompt.features.image_rows import AfterBatch, ImageRows
from clipprompt.features.images import Opener
from clipprompt.features.layouts import Layout, StateLayout, layout_for

_MEMORY_BYTES = 1e9  # of what is kept in memory for one backbone

_kept: WeakKeyDictionary[Backbone, dict[str, ImageRows]] = WeakKeyDictionary()


class ImageMemory(ImageRows):
    """Features of N images in memory, as float32."""

    def __init__(
        self, backbone: Backbone, items: Sequence[Any], opener: Opener, kept: tuple[bool, ...] | StateLayout = ()
    ) -> None:
        """Nothing is encoded yet; arguments as :class:`ImageRows`."""
        super().__init__(backbone, items, opener, kept)
        self._rows = np.full((len(items), self._n_rows, self._width), np.nan, dtype=np.float32)

    def missing(self, places: Sequence[int] | None = None) -> list[int]:
        """The numbers of the images, of all or of some, whose features are not there; ascending."""
        wanted = np.arange(len(self._items)) if places is None else np.unique(np.asarray(places, dtype=np.int64))
        return [int(place) for place in wanted[np.isnan(self._rows[wanted, 0, 0])]]

    def fill(
        self,
        places: Sequence[int] | None = None,
        *,
        batch_size: int = 64,
        workers: int = 4,
        after_batch: AfterBatch = lambda: None,
    ) -> None:
        """Encodes what is missing; arguments as :meth:`ImageRows.fill`."""
        if missing := self.missing(places):
            self._encode(missing, batch_size, workers, lambda _: after_batch())


def shared_features(
    backbone: Backbone,
    items: Sequence[Any],
    opener: Opener,
    kept: tuple[bool, ...] | StateLayout = (),
    *,
    wanted: Sequence[Any] | None = None,
    cache: Path | None = None,
    dtype: str | None = None,
    drawn_by: str = "",
    batch_size: int = 64,
    workers: int = 4,
    after_batch: AfterBatch = lambda: None,
) -> ImageRows | None:
    """Features of images, encoded at the first call that wants them and found at the others.

    Args:
        backbone: whose features they are; what is in memory goes with it.
        items: N images.
        opener: an item to an RGB picture.
        kept: features with these ways of reading places (none for pooled features alone), or states.
        wanted: those of the items that are encoded; None for all. The others may be later, in the same entry.
        cache: folder for features.
        dtype: in which they lie there; None for float16 of files and float32 of drawn pictures.
        drawn_by: of drawn pictures, what decides how a name is drawn; without it they are kept in memory alone.
        batch_size: see :func:`image_batches`.
        workers: see :func:`image_batches`.
        after_batch: called while encoding; may raise to stop.

    Returns:
        The features; None where there is no folder and they are too large for memory.

    Raises:
        UserError: if the folder cannot be written, or the backbone has no transform.
    """
    of_files, layout = opener is open_image, layout_for(backbone, kept)
    if of_files:
        name = cache_name(image_key(backbone, items, "whole", layout))
    else:
        key = {"opener": repr(opener), "items": list(items), "places": _name(kept), "by": drawn_by}
        name = cache_name(key)
    mine = _kept.setdefault(backbone, {})
    dtype = dtype or ("float16" if of_files else "float32")
    made = mine.get(f"{cache} {dtype} {name}")
    if made is None:
        if cache is not None and (of_files or drawn_by):
            settings = "whole" if of_files else f"drawn by {drawn_by}"
            made = ImageCache(backbone, items, opener, cache, settings, kept, is_rounded=dtype == "float16")
        elif len(items) * _size(layout) > _MEMORY_BYTES:
            return None
        else:
            made = ImageMemory(backbone, items, opener, kept)
        mine[f"{cache} {dtype} {name}"] = made
        _drop_oldest(mine)
    with made.encoding_with(backbone, kept):
        places_wanted = None if wanted is None else made.places_of(wanted)
        made.fill(places_wanted, batch_size=batch_size, workers=workers, after_batch=after_batch)
    return made


def _size(layout: Layout) -> int:
    return layout.n_rows * layout.width * 4


def _name(kept: tuple[bool, ...] | StateLayout) -> tuple[bool, ...] | str:
    return kept.part if isinstance(kept, StateLayout) else kept


def _drop_oldest(kept: dict[str, ImageRows]) -> None:
    in_memory = {name: rows.nbytes for name, rows in kept.items() if isinstance(rows, ImageMemory)}
    total = sum(in_memory.values())
    for name, size in in_memory.items():
        if total <= _MEMORY_BYTES:
            return
        del kept[name]
        total -= size
