"""Frozen features of images on disk: extracted once, gone on with after a kill, shared by all learners.

    files --image_batches--> FrozenFeatures --float16--> rows.bin (N, pools + P, E), in checked blocks

An entry is named by everything that its numbers depend on: weights, precision, transform, and of each file the path,
size and time of change; of drawn pictures, their names and the code that draws them. A photo takes 4 kB with an RN50 at
224 pixels, and 104 kB with every place for a local branch. Rows of a file that could not be read are NaN, and it is
tried again each time: what kept it from being read may have passed. Processes that want the same entry take turns.
"""

from __future__ import annotations

import hashlib
import json
import os
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.features._blocks import BlockFile
from clipprompt.features.cache import cache_name
from clipprompt.features.image_rows import ImageRows
from clipprompt.features.images import Opener
from clipprompt.locks import locked

# What is finished, checked and written as a whole: seconds of work. A small model has few bytes an image.
_BLOCK_BYTES, _BLOCK_IMAGES = 32e6, 256


def default_cache_folder() -> Path:
    """``$CLIPPROMPT_CACHE``, or ``clipprompt`` in the user's folder of caches."""
    if place := os.environ.get("CLIPPROMPT_CACHE"):
        return Path(place)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clipprompt"


class ImageCache(ImageRows):
    """Features of N images, memory-mapped.

    Attributes:
        folder: of this entry.
        is_rounded: whether they are kept as float16.
    """

    def __init__(
        self,
        backbone: Backbone,
        items: Sequence[Path] | Sequence[str],
        opener: Opener,
        folder: Path,
        settings: str,
        places: tuple[bool, ...] = (False,),
        is_rounded: bool = True,
    ) -> None:
        """Opens or begins the entry; nothing is encoded yet.

        Args:
            backbone: whose features they are.
            items: N image files, or names of drawn pictures.
            opener: an item to an RGB picture.
            folder: that holds all entries.
            settings: of the opener, for the entry's name.
            places: the ways of reading places that are kept, as in :class:`Wanted`; none for pooled features alone.
                Each choice has an entry of its own.
            is_rounded: keeps float16, which moves a cosine by about 1e-5, in place of float32.

        Raises:
            UserError: if the folder cannot be written, or the backbone has no transform.
        """
        super().__init__(backbone, items, opener, places)
        self.is_rounded = is_rounded
        key = image_key(backbone, items, settings, places)
        self.folder = folder / cache_name(key)
        per_block = min(max(1, int(_BLOCK_BYTES / (self._n_rows * self._width * 2))), _BLOCK_IMAGES)
        self._ends = [*range(per_block, len(items), per_block), len(items)]
        shape = (len(items) * self._n_rows, self._width)
        dtype = "float16" if is_rounded else "float32"
        try:
            self._store = BlockFile(self.folder, shape, dtype, [end * self._n_rows for end in self._ends], key)
        except UserError as error:
            raise UserError(f"{error}; --cache FOLDER takes another place, --no-cache does without") from error
        self._rows = self._store.rows.reshape(len(items), self._n_rows, self._width)

    def missing(self) -> list[int]:
        """The numbers of the images whose features are not there, ascending."""
        there = ~np.isnan(self._rows[:, 0, 0])
        for number, (first, last) in enumerate(pairwise([0, *self._ends])):
            if not self._store.is_done(number):
                there[first:last] = False
        return [int(place) for place in np.flatnonzero(~there)]

    def fill(self, *, batch_size: int = 64, workers: int = 4) -> None:
        """Extracts what is missing. May be stopped at any time; finished blocks stay.

        Where another process is at the same entry, this one waits, and takes what the other leaves.

        Args:
            batch_size: see :func:`image_batches`.
            workers: see :func:`image_batches`.
        """
        self._unreadable.clear()
        if self.missing():
            with locked(self.folder, ".lock", wait=True):
                self._store.refresh()
                self._extract(self.missing(), batch_size, workers)

    def _extract(self, places: list[int], batch_size: int, workers: int) -> None:
        # The last missing image of each block: when it is there, the block is finished.
        waiting = {bisect_right(self._ends, place): place for place in places}

        def finish(seen: list[int]) -> None:
            for number in [n for n, last in waiting.items() if last <= max(seen)]:
                self._store.finish(number)
                del waiting[number]

        self._encode(places, batch_size, workers, finish)


def image_key(
    backbone: Backbone, items: Sequence[Path] | Sequence[str], settings: str, places: tuple[bool, ...]
) -> dict[str, Any]:
    """Everything that features depend on: weights, precision, transform, and the state of each file."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(json.dumps(_state_of(item) if isinstance(item, Path) else [item]).encode())
    kinds = " and ".join(["pooled", *("local as pooled" if kind else "local" for kind in places)])
    return {
        "kind": f"{kinds} features of images, normalised",
        "weights": backbone.fingerprint(),
        "computed": f"torch {torch.__version__} on {backbone.device.type}",
        "precision": backbone.precision,
        "transform": repr(backbone.preprocess),
        "opened": settings,
        "files": digest.hexdigest()[:32],
    }


def _state_of(path: Path) -> list[str | int]:
    try:
        status = path.stat()
    except OSError:
        return [str(path.absolute())]
    return [str(path.absolute()), status.st_size, status.st_mtime_ns]
