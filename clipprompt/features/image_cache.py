"""Frozen features of image files on disk: extracted once, gone on with after a kill, shared by all learners.

    files --image_batches--> FrozenFeatures --float16--> rows.bin (N, pools + P, E), in checked blocks

An entry is named by everything that its numbers depend on: weights, precision, transform, and of each file the path,
size and time of change. The local branch needs every place, so a photo takes 104 kB with an RN50 at 224 pixels. Rows of
a file that could not be read are NaN, and it is tried again each time: what kept it from being read may have passed.
"""

from __future__ import annotations

import hashlib
import json
import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.features._blocks import BlockFile
from clipprompt.features.cache import cache_name
from clipprompt.features.images import (
    FrozenFeatures,
    ImageBatch,
    Opener,
    Wanted,
    check_loading,
    encode_images,
    everything,
    image_batches,
)
from clipprompt.progress import progress

# What is finished, checked and written as a whole: seconds of work. A small model has few bytes an image.
_BLOCK_BYTES, _BLOCK_IMAGES = 32e6, 256


def default_cache_folder() -> Path:
    """``$CLIPPROMPT_CACHE``, or ``clipprompt`` in the user's folder of caches."""
    if place := os.environ.get("CLIPPROMPT_CACHE"):
        return Path(place)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clipprompt"


class ImageCache:
    """Features of N image files, memory-mapped; float16 rows of each image: its pooled features, then its places.

    Attributes:
        folder: of this entry.
    """

    def __init__(
        self,
        backbone: Backbone,
        files: Sequence[Path],
        opener: Opener,
        folder: Path,
        settings: str,
        places: tuple[bool, ...] = (),
    ) -> None:
        """Opens or begins the entry; nothing is encoded yet.

        Args:
            backbone: whose features they are.
            files: N image files.
            opener: a file to an RGB picture.
            folder: that holds all entries.
            settings: of the opener, for the entry's name.
            places: the ways of reading places, as in :class:`Wanted`; one that is not the plain one alone has an
                entry of its own.

        Raises:
            UserError: if the folder cannot be written.
        """
        self._backbone, self._files, self._opener = backbone, files, opener
        self._wanted = everything(backbone, places)
        self._sizes = [len(self._wanted.pools), *(_n_places(backbone) + kind for kind in self._wanted.places)]
        self._n_rows = sum(self._sizes)
        key = _key(backbone, files, settings, self._wanted.places)
        self.folder = folder / cache_name(key)
        width = backbone.embed_dim
        per_block = min(max(1, int(_BLOCK_BYTES / (self._n_rows * width * 2))), _BLOCK_IMAGES)
        self._ends = [*range(per_block, len(files), per_block), len(files)]
        shape = (len(files) * self._n_rows, width)
        try:
            self._store = BlockFile(self.folder, shape, "float16", [end * self._n_rows for end in self._ends], key)
        except UserError as error:
            raise UserError(f"{error}; --cache FOLDER takes another place, --no-cache does without") from error
        self._rows: npt.NDArray[np.float16] = self._store.rows.reshape(len(files), self._n_rows, width)
        self._unreadable: dict[int, UserError] = {}

    def missing(self) -> list[int]:
        """The numbers of the files whose features are not there, ascending."""
        there = ~np.isnan(self._rows[:, 0, 0])
        for number, (first, last) in enumerate(pairwise([0, *self._ends])):
            if not self._store.is_done(number):
                there[first:last] = False
        return [int(place) for place in np.flatnonzero(~there)]

    def fill(self, *, batch_size: int = 64, workers: int = 4) -> None:
        """Extracts what is missing. May be stopped at any time; finished blocks stay.

        Args:
            batch_size: see :func:`image_batches`.
            workers: see :func:`image_batches`.
        """
        self._unreadable.clear()
        places = self.missing()
        # The last missing file of each block: when it is there, the block is finished.
        waiting = {bisect_right(self._ends, place): place for place in places}
        stream = image_batches(
            self._backbone, places, lambda i: self._opener(self._files[i]), batch_size=batch_size, workers=workers
        )
        with progress(unit="images") as bar:
            total = len(self._files)
            task = bar.add_task("Encoding images", total=total, completed=total - len(places), note="")
            for batch in stream:
                self._keep(batch)
                done = [*batch.items, *(place for place, _ in batch.unreadable)]
                bar.advance(task, len(done))
                for number in [n for n, last in waiting.items() if last <= max(done)]:
                    self._store.finish(number)
                    del waiting[number]

    def read(self, wanted: Wanted, batch_size: int = 64) -> Iterator[tuple[list[int], FrozenFeatures]]:
        """After ``fill``: all images that could be read, in order, as file numbers and float32 features."""
        for start in range(0, len(self._files), batch_size):
            last = min(start + batch_size, len(self._files))
            places = [place for place in range(start, last) if place not in self._unreadable]
            if places:
                rows = torch.from_numpy(self._rows[places].astype(np.float32))
                yield places, self._features(rows.to(self._backbone.device), wanted)

    def unreadable(self) -> list[tuple[int, UserError]]:
        """After ``fill``: the files that could not be read, with the reasons."""
        return sorted(self._unreadable.items())

    def _keep(self, batch: ImageBatch[int]) -> None:
        if batch.items:
            features = encode_images(self._backbone, batch.images, self._wanted)
            pooled = torch.stack([features.pooled[kind] for kind in self._wanted.pools], dim=1)
            places = [features.local[kind] for kind in self._wanted.places]
            self._rows[batch.items] = torch.cat([pooled, *places], dim=1).half().cpu().numpy()
        for place, error in batch.unreadable:
            self._rows[place] = np.nan
            self._unreadable[place] = error

    def _features(self, rows: torch.Tensor, wanted: Wanted) -> FrozenFeatures:
        whole, *places = rows.split(self._sizes, dim=1)
        pooled = {kind: whole[:, n] for n, kind in enumerate(self._wanted.pools) if kind in wanted.pools}
        return FrozenFeatures(pooled, dict(zip(self._wanted.places, places, strict=True)))


def _n_places(backbone: Backbone) -> int:
    transform = check_loading(backbone, 1, 0)
    height, width = transform.pixels(Image.new("RGB", (64, 64))).shape[1:]
    return (height // backbone.vision.patch_size) * (width // backbone.vision.patch_size)


def _key(backbone: Backbone, files: Sequence[Path], settings: str, places: tuple[bool, ...]) -> dict[str, Any]:
    digest = hashlib.sha256()
    for path in files:
        try:
            status = path.stat()
            state = [status.st_size, status.st_mtime_ns]
        except OSError:
            state = []
        digest.update(json.dumps([str(path.absolute()), *state]).encode())
    local = " and ".join("local as pooled" if kind else "local" for kind in places)
    return {
        "kind": f"pooled and {local} features of images, normalised",
        "weights": backbone.fingerprint(),
        "computed": f"torch {torch.__version__} on {backbone.device.type}",
        "precision": backbone.precision,
        "transform": repr(backbone.preprocess),
        "opened": settings,
        "files": digest.hexdigest()[:32],
    }
