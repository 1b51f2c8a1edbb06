"""Features of a test set that all learners of a backbone share: the tower sees each picture once.

    with a cache       on disk, for this process and others: of files as float16, of drawn pictures as float32
    without a cache    in memory, as long as the backbone is there

Base and novel classes, seeds, methods and protocols are other readings of the same rows.
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
from clipprompt.features.image_rows import ImageRows, row_sizes
from clipprompt.features.images import Opener, everything

_MEMORY_BYTES = 1e9  # of what is kept in memory for one backbone

_kept: WeakKeyDictionary[Backbone, dict[str, ImageRows]] = WeakKeyDictionary()


class ImageMemory(ImageRows):
    """Features of N images in memory, as float32."""

    def fill(self, *, batch_size: int = 64, workers: int = 4) -> None:
        """Encodes all of them.

        Args:
            batch_size: see :func:`image_batches`.
            workers: see :func:`image_batches`.
        """
        self._rows = np.empty((len(self._items), self._n_rows, self._width), dtype=np.float32)
        self._encode(range(len(self._items)), batch_size, workers, lambda _: None)

    @property
    def nbytes(self) -> int:
        """Size of the rows."""
        return int(self._rows.nbytes)


def shared_features(
    backbone: Backbone,
    items: Sequence[Any],
    opener: Opener,
    places: tuple[bool, ...] = (),
    *,
    cache: Path | None = None,
    drawn_by: str = "",
    batch_size: int = 64,
    workers: int = 4,
) -> ImageRows | None:
    """Features of images, encoded at the first call and found at the others.

    Args:
        backbone: whose features they are; what is in memory goes with it.
        items: N images.
        opener: an item to an RGB picture.
        places: the ways of reading places; none for pooled features alone.
        cache: folder for features.
        drawn_by: of drawn pictures, what decides how a name is drawn; without it they are kept in memory alone.
        batch_size: see :func:`image_batches`.
        workers: see :func:`image_batches`.

    Returns:
        The features; None where there is no folder and they are too large for memory.

    Raises:
        UserError: if the folder cannot be written, or the backbone has no transform.
    """
    of_files = opener is open_image
    if of_files:
        name = cache_name(image_key(backbone, items, "whole", places))
    else:
        name = cache_name({"opener": repr(opener), "items": list(items), "places": places, "by": drawn_by})
    mine = _kept.setdefault(backbone, {})
    found = mine.get(f"{cache} {name}")
    if found is not None:
        return found
    made: ImageRows
    if of_files and cache is not None:
        made = ImageCache(backbone, items, opener, cache, "whole", places)
    elif drawn_by and cache is not None:
        made = ImageCache(backbone, items, opener, cache, f"drawn by {drawn_by}", places, is_rounded=False)
    elif len(items) * sum(row_sizes(backbone, everything(backbone, places))) * backbone.embed_dim * 4 > _MEMORY_BYTES:
        return None
    else:
        made = ImageMemory(backbone, items, opener, places)
    made.fill(batch_size=batch_size, workers=workers)
    made.let_go()
    mine[f"{cache} {name}"] = made
    _drop_oldest(mine)
    return made


def _drop_oldest(kept: dict[str, ImageRows]) -> None:
    in_memory = {name: rows.nbytes for name, rows in kept.items() if isinstance(rows, ImageMemory)}
    total = sum(in_memory.values())
    for name, size in in_memory.items():
        if total <= _MEMORY_BYTES:
            return
        del kept[name]
        total -= size
