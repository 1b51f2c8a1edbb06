"""Frozen features of image files on disk: extracted once, gone on with after a kill, shared by all learners.

    files --image_batches--> FrozenFeatures --float16--> rows.bin (N, pools + P, E), in checked blocks

An entry is named by everything that its numbers depend on: weights, precision, transform, and of each file the path,
size and time of change. The local branch needs every place, so a photo takes 104 kB with an RN50 at 224 pixels.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
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
    Opener,
    Wanted,
    check_loading,
    encode_images,
    everything,
    image_batches,
)
from clipprompt.progress import progress

# Bytes that are finished, checked and written as a whole: seconds of work.
_BLOCK_BYTES = 32e6


def default_cache_folder() -> Path:
    """``$CLIPPROMPT_CACHE``, or ``clipprompt`` in the user's folder of caches."""
    if place := os.environ.get("CLIPPROMPT_CACHE"):
        return Path(place)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clipprompt"


class ImageCache:
    """Features of N image files, memory-mapped; float16 rows of each image: its pooled features, then its places.

    Attributes:
        folder: of this entry.
        nbytes: its size on disk.
    """

    def __init__(self, backbone: Backbone, files: Sequence[Path], opener: Opener, folder: Path, settings: str) -> None:
        """Opens or begins the entry; nothing is encoded yet.

        Args:
            backbone: whose features they are.
            files: N image files.
            opener: a file to an RGB picture.
            folder: that holds all entries.
            settings: of the opener, for the entry's name.

        Raises:
            UserError: if the folder cannot be written.
        """
        self._backbone, self._files, self._opener = backbone, files, opener
        self._wanted = everything(backbone)
        self._n_rows = len(self._wanted.pools) + _n_places(backbone)
        key = _key(backbone, files, settings)
        self.folder = folder / cache_name(key)
        width = backbone.embed_dim
        per_block = max(1, int(_BLOCK_BYTES / (self._n_rows * width * 2)))
        self._ends = [*range(per_block, len(files), per_block), len(files)]
        shape = (len(files) * self._n_rows, width)
        try:
            self._store = BlockFile(self.folder, shape, "float16", [end * self._n_rows for end in self._ends], key)
        except UserError as error:
            raise UserError(f"{error}; --cache FOLDER takes another place, --no-cache does without") from error
        self._rows: npt.NDArray[np.float16] = self._store.rows.reshape(len(files), self._n_rows, width)
        self.nbytes = int(self._rows.nbytes)

    def missing(self) -> list[int]:
        """The numbers of the files whose features are not there yet, ascending."""
        starts = [0, *self._ends[:-1]]
        blocks = enumerate(zip(starts, self._ends, strict=True))
        return [place for n, (first, last) in blocks if not self._store.is_done(n) for place in range(first, last)]

    def fill(self, *, batch_size: int = 64, workers: int = 4) -> None:
        """Extracts what is missing. May be stopped at any time; finished blocks stay.

        Args:
            batch_size: see :func:`image_batches`.
            workers: see :func:`image_batches`.
        """
        places = self.missing()
        pending = [n for n in range(len(self._ends)) if not self._store.is_done(n)]
        stream = image_batches(
            self._backbone, places, lambda i: self._opener(self._files[i]), batch_size=batch_size, workers=workers
        )
        with progress(unit="images") as bar:
            task = bar.add_task(
                "Encoding images", total=len(self._files), completed=len(self._files) - len(places), note=""
            )
            for batch in stream:
                self._keep(
                    batch.items, encode_images(self._backbone, batch.images, self._wanted) if batch.items else None
                )
                self._rows[[place for place, _ in batch.unreadable]] = np.nan
                bar.advance(task, len(batch.items) + len(batch.unreadable))
                reached = max([*batch.items, *(place for place, _ in batch.unreadable)])
                while pending and self._ends[pending[0]] <= reached + 1:
                    self._store.finish(pending.pop(0))

    def read(self, wanted: Wanted, batch_size: int = 64) -> Iterator[tuple[list[int], FrozenFeatures]]:
        """All images that could be read, in order, as file numbers and float32 features."""
        for start in range(0, len(self._files), batch_size):
            rows = torch.from_numpy(self._rows[start : start + batch_size].astype(np.float32))
            readable = ~rows[:, 0, 0].isnan()
            places = [start + i for i in readable.nonzero().flatten().tolist()]
            if places:
                yield places, self._features(rows[readable].to(self._backbone.device), wanted)

    def unreadable(self) -> list[tuple[int, UserError]]:
        """The files that could not be read, with the reasons."""
        found = []
        for place in np.flatnonzero(np.isnan(self._rows[:, 0, 0])).tolist():
            try:
                self._opener(self._files[place])
            except UserError as error:
                found.append((place, error))
            else:
                found.append((place, UserError(f"cannot read image {self._files[place]}")))
        return found

    def _keep(self, places: list[int], features: FrozenFeatures | None) -> None:
        if features is None:
            return
        pooled = torch.stack([features.pooled[kind] for kind in self._wanted.pools], dim=1)
        self._rows[places] = torch.cat([pooled, features.local], dim=1).half().cpu().numpy()

    def _features(self, rows: torch.Tensor, wanted: Wanted) -> FrozenFeatures:
        pooled = {kind: rows[:, n] for n, kind in enumerate(self._wanted.pools) if kind in wanted.pools}
        return FrozenFeatures(pooled, rows[:, len(self._wanted.pools) :])


def _n_places(backbone: Backbone) -> int:
    transform = check_loading(backbone, 1, 0)
    height, width = transform.pixels(Image.new("RGB", (64, 64))).shape[1:]
    return (height // backbone.vision.patch_size) * (width // backbone.vision.patch_size)


def _key(backbone: Backbone, files: Sequence[Path], settings: str) -> dict[str, Any]:
    digest = hashlib.sha256()
    for path in files:
        try:
            status = path.stat()
            state = [status.st_size, status.st_mtime_ns]
        except OSError:
            state = []
        digest.update(json.dumps([str(path.absolute()), *state]).encode())
    return {
        "kind": "pooled and local features of images, normalised",
        "weights": backbone.fingerprint(),
        "computed": f"torch {torch.__version__} on {backbone.device.type}",
        "precision": backbone.precision,
        "transform": repr(backbone.preprocess),
        "opened": settings,
        "files": digest.hexdigest()[:32],
    }
