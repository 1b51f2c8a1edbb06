"""Frozen features of N images as rows of one array: what is kept in memory and what is kept on disk have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.features.cache import Ints
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

AfterBatch = Callable[[], None]


class ImageRows(ABC):
    """Rows (N, R, E): of each image its pooled features, then its places. NaN where an image could not be read."""

    _rows: npt.NDArray[Any]

    def __init__(self, backbone: Backbone, items: Sequence[Any], opener: Opener, places: tuple[bool, ...]) -> None:
        """Nothing is encoded yet.

        Args:
            backbone: whose features they are.
            items: N images, files for instance.
            opener: an item to an RGB picture.
            places: the ways of reading places that are kept, as in :class:`Wanted`; none for pooled features alone.

        Raises:
            UserError: if the backbone has no transform.
        """
        check_loading(backbone, 1, 0)
        self._backbone, self._items, self._opener = backbone, items, opener
        self._device, self._width = backbone.device, backbone.embed_dim
        self._wanted = everything(backbone, places)
        self._sizes = row_sizes(backbone, self._wanted)
        self._n_rows = sum(self._sizes)
        self._unreadable: dict[int, UserError] = {}

    @contextmanager
    def encoding_with(self, backbone: Backbone) -> Iterator[None]:
        """Encodes with an equal backbone within the block, and keeps none in memory behind it."""
        self._backbone = backbone
        try:
            yield
        finally:
            del self._backbone

    @abstractmethod
    def missing(self, places: Sequence[int] | None = None) -> list[int]:
        """The numbers of the images, of all or of some, whose features are not there; ascending."""

    @abstractmethod
    def fill(
        self,
        places: Sequence[int] | None = None,
        *,
        batch_size: int = 64,
        workers: int = 4,
        after_batch: AfterBatch = lambda: None,
    ) -> None:
        """Encodes what is missing.

        Args:
            places: numbers of the images that are wanted; None for all.
            batch_size: see :func:`image_batches`.
            workers: see :func:`image_batches`.
            after_batch: called after every batch; may raise to stop.
        """

    @property
    def nbytes(self) -> int:
        """Size of the rows."""
        return int(self._rows.nbytes)

    @property
    def is_on_disk(self) -> bool:
        """Whether the rows are memory-mapped."""
        return False

    def take(self, places: Ints) -> tuple[Tensor, Tensor]:
        """After ``fill``: the rows (B x R, E) of some images as they are kept, and R for each, (B,)."""
        rows = torch.from_numpy(np.take(self._rows, places, axis=0))
        return rows.flatten(0, 1), torch.full((len(places),), self._n_rows)

    def unpack(self, rows: Tensor, lengths: Tensor) -> FrozenFeatures:
        """What :meth:`take` gave, on any device, as float32 features of B images."""
        return self._features(rows.unflatten(0, (len(lengths), -1)), self._wanted)

    def read(
        self, wanted: Wanted, batch_size: int = 64, places: Sequence[int] | None = None
    ) -> Iterator[tuple[list[int], FrozenFeatures]]:
        """After ``fill``: images that could be read, in order, as numbers and float32 features.

        Args:
            wanted: what is read; its ways of reading places are those that are kept, or fewer.
            batch_size: images that are handed on together.
            places: numbers of the images; None for all.
        """
        order = range(len(self._items)) if places is None else places
        kept = self._rows if wanted.places else self._rows[:, : self._sizes[0]]  # places are most of what is on disk
        for start in range(0, len(order), batch_size):
            there = [place for place in order[start : start + batch_size] if place not in self._unreadable]
            if there:
                rows = torch.from_numpy(kept[there])
                yield there, self._features(rows.to(self._device), wanted)

    def places_of(self, items: Sequence[Any]) -> list[int]:
        """The numbers of some of the items."""
        number = {item: place for place, item in enumerate(self._items)}
        return [number[item] for item in items]

    def unreadable(self) -> list[tuple[int, UserError]]:
        """After ``fill``: the images that could not be read, with the reasons."""
        return sorted(self._unreadable.items())

    def _encode(self, places: Sequence[int], batch_size: int, workers: int, done: Callable[[list[int]], None]) -> None:
        """Encodes some images; ``done`` is told of each batch."""
        for place in places:
            self._unreadable.pop(place, None)
        stream = image_batches(
            self._backbone, places, lambda i: self._opener(self._items[i]), batch_size=batch_size, workers=workers
        )
        with progress(unit="images") as bar:
            task = bar.add_task("Encoding images", total=len(places), note="")
            for batch in stream:
                self._keep(batch)
                seen = [*batch.items, *(place for place, _ in batch.unreadable)]
                bar.advance(task, len(seen))
                done(seen)

    def _keep(self, batch: ImageBatch[int]) -> None:
        if batch.items:
            features = encode_images(self._backbone, batch.images, self._wanted)
            pooled = torch.stack([features.pooled[kind] for kind in self._wanted.pools], dim=1)
            local = [features.local[kind] for kind in self._wanted.places]
            rows = torch.cat([pooled, *local], dim=1).cpu().numpy().astype(self._rows.dtype)
            first = rows[:, 0, 0].copy()
            rows[:, 0, 0] = np.nan  # a row that a kill tears is not there, also to others who have it mapped
            self._rows[batch.items] = rows
            self._rows[batch.items, 0, 0] = first
        for place, error in batch.unreadable:
            self._rows[place] = np.nan
            self._unreadable[place] = error

    def _features(self, rows: Tensor, wanted: Wanted) -> FrozenFeatures:
        # Widened part by part, so that each is whole in memory, and on the device, to which half of the bytes went.
        parts = rows.split(self._sizes if wanted.places else self._sizes[:1], dim=1)
        whole, *places = (part.float() for part in parts)
        pooled = {kind: whole[:, n] for n, kind in enumerate(self._wanted.pools) if kind in wanted.pools}
        return FrozenFeatures(pooled, dict(zip(self._wanted.places, places, strict=False)))


def row_sizes(backbone: Backbone, wanted: Wanted) -> list[int]:
    """Rows of an image: the pooled ones, then those of each way of reading places."""
    n_places = _n_places(backbone) if wanted.places else 0
    return [len(wanted.pools), *(n_places + as_pooled for as_pooled in wanted.places)]


def _n_places(backbone: Backbone) -> int:
    transform = check_loading(backbone, 1, 0)
    height, width = transform.pixels(Image.new("RGB", (64, 64))).shape[1:]
    return (height // backbone.vision.patch_size) * (width // backbone.vision.patch_size)
