"""Frozen features or states of images on disk: computed once, gone on with after a kill, shared by all learners.

    files --image_batches--> what a layout keeps --float16--> rows.bin (N, R, W), in checked blocks

An entry is named by everything that its numbers depend on: weights, precision, transform, and of each file the path,
size and time of change; of drawn pictures, their names and the code that draws them. A photo takes 4 kB with an RN50 at
224 pixels, and 104 kB with every place for a local branch; states that enter the last layer of a ViT-B/16, 303 kB. An
entry may be filled in part; rows that nobody wanted yet
are NaN, as are those of a file that could not be read, which is tried again each time: what kept it from being read may
have passed. Processes that want the same entry take turns.
"""

from __future__ import annotations

import hashlib
import json
import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.features._blocks import BlockFile
from clipprompt.features.cache import cache_name
from clipprompt.features.image_rows import AfterBatch, ImageRows
from clipprompt.features.images import Opener
from clipprompt.features.layouts import Layout, StateLayout
from clipprompt.locks import locked

# What is finished, checked and written as a whole: seconds of work. A small model has few bytes an image.
_BLOCK_BYTES, _BLOCK_IMAGES = 32e6, 256
# Images that are encoded together, as far as a block has as many.
_BATCH = 64


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
        kept: tuple[bool, ...] | StateLayout = (False,),
        is_rounded: bool = True,
    ) -> None:
        """Opens or begins the entry; nothing is encoded yet.

        Args:
            backbone: whose features they are.
            items: N image files, or names of drawn pictures.
            opener: an item to an RGB picture.
            folder: that holds all entries.
            settings: of the opener, for the entry's name.
            kept: features with these ways of reading places, as in :class:`Wanted` (none for pooled features alone), or
                states. Each choice has an entry of its own.
            is_rounded: keeps float16, which moves a cosine by about 1e-5, in place of float32.

        Raises:
            UserError: if the folder cannot be written, or the backbone has no transform.
        """
        super().__init__(backbone, items, opener, kept)
        self.is_rounded = is_rounded
        dtype = "float16" if is_rounded else "float32"
        key = {**image_key(backbone, items, settings, self._layout), "dtype": dtype}
        self.folder = folder / cache_name(key)
        # Whole batches: one that goes on behind a kill encodes the same images together, and gets the same bits.
        per_block = min(max(1, int(_BLOCK_BYTES / (self._n_rows * self._width * 2))), _BLOCK_IMAGES)
        self._per_block = per_block - per_block % _BATCH if per_block > _BATCH else per_block
        self._ends = [*range(self._per_block, len(items), self._per_block), len(items)]
        shape = (len(items) * self._n_rows, self._width)
        with saying_what_to_do():
            self._store = BlockFile(self.folder, shape, dtype, [end * self._n_rows for end in self._ends], key)
        self._rows = self._store.rows.reshape(len(items), self._n_rows, self._width)

    @property
    def is_on_disk(self) -> bool:
        """It is."""
        return True

    def missing(self, places: Sequence[int] | None = None) -> list[int]:
        """The numbers of the images, of all or of some, whose features are not there; ascending."""
        wanted = np.arange(len(self._items)) if places is None else np.unique(np.asarray(places, dtype=np.int64))
        done = np.array([self._store.is_done(number) for number in range(len(self._ends))])
        there = done[np.searchsorted(self._ends, wanted, side="right")] & ~np.isnan(self._rows[wanted, 0, 0])
        return [int(place) for place in wanted[~there]]

    def fill(
        self,
        places: Sequence[int] | None = None,
        *,
        batch_size: int = _BATCH,
        workers: int = 4,
        after_batch: AfterBatch = lambda: None,
    ) -> None:
        """Extracts what is missing. May be stopped at any time; finished blocks stay.

        Where another process is at the same entry, this one waits, and takes what the other leaves.

        Args:
            places: numbers of the images that are wanted; None for all.
            batch_size: see :func:`image_batches`.
            workers: see :func:`image_batches`.
            after_batch: called after every batch; may raise to stop.
        """
        if self.missing(places):
            with locked(self.folder, ".lock", wait=True):
                self._store.refresh()
                self._extract(self.missing(places), min(batch_size, self._per_block), workers, after_batch)

    def _extract(self, places: list[int], batch_size: int, workers: int, after_batch: AfterBatch) -> None:
        # The last missing image of each block: when it is there, the block is finished.
        waiting = {bisect_right(self._ends, place): place for place in places}
        with saying_what_to_do():
            self._store.reserve(waiting)
        for number in waiting:
            if not self._store.is_done(number):  # so that what nobody asked for is not there when it is
                first, last = (0, *self._ends)[number : number + 2]
                self._rows[first:last, 0, 0] = np.nan

        def finish(seen: list[int]) -> None:
            for number in [n for n, last in waiting.items() if last <= max(seen)]:
                self._store.finish(number)
                del waiting[number]
            after_batch()

        self._encode(places, batch_size, workers, finish)


@contextmanager
def saying_what_to_do() -> Iterator[None]:
    """Adds to an error of the cache how to put it elsewhere."""
    try:
        yield
    except UserError as error:
        elsewhere = "--cache FOLDER, or data.cache=FOLDER in training, takes another place"
        raise UserError(f"{error}; {elsewhere}; --no-cache does without") from error


def image_key(
    backbone: Backbone, items: Sequence[Path] | Sequence[str], settings: str, layout: Layout
) -> dict[str, Any]:
    """Everything that features depend on: weights, precision, transform, and the state of each file."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(json.dumps(_state_of(item) if isinstance(item, Path) else [item]).encode())
    return {
        "kind": layout.kind,
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
