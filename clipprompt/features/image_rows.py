"""Frozen features of N images as rows of one array: what is kept in memory and what is kept on disk have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.features.cache import Ints
from clipprompt.features.images import FrozenFeatures, ImageBatch, Opener, Wanted, check_loading, image_batches
from clipprompt.features.layouts import FeatureLayout, StateLayout, check_rounding, layout_for, without_encoder
from clipprompt.learners._base import ImageStates
from clipprompt.progress import progress

AfterBatch = Callable[[], None]


class ImageRows(ABC):
    """Rows (N, R, W): of each image what a layout says. NaN where an image could not be read."""

    _rows: npt.NDArray[Any]

    def __init__(
        self, backbone: Backbone, items: Sequence[Any], opener: Opener, kept: tuple[bool, ...] | StateLayout
    ) -> None:
        """Nothing is encoded yet.

        Args:
            backbone: whose features they are.
            items: N images, files for instance.
            opener: an item to an RGB picture.
            kept: features with these ways of reading places, as in :class:`Wanted` (none for pooled features alone), or
                states.

        Raises:
            UserError: if the backbone has no transform.
        """
        check_loading(backbone, 1, 0)
        self._backbone, self._items, self._opener = backbone, items, opener
        self._device = backbone.device
        self._layout = layout_for(backbone, kept)
        self._n_rows, self._width = self._layout.n_rows, self._layout.width
        self._unreadable: dict[int, UserError] = {}

    @contextmanager
    def encoding_with(self, backbone: Backbone, kept: tuple[bool, ...] | StateLayout = ()) -> Iterator[None]:
        """Encodes with an equal backbone within the block, and keeps none in memory behind it.

        Args:
            backbone: equal to that of the beginning.
            kept: of an equal learner, where states are kept.
        """
        self._backbone = backbone
        if isinstance(kept, StateLayout):
            self._layout = kept
        try:
            yield
        finally:
            del self._backbone
            self._layout = without_encoder(self._layout)

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
        """What :meth:`take` gave of features, on any device, as float32 features of B images."""
        return self._features_layout.decode(rows.unflatten(0, (len(lengths), -1)))

    def unpack_states(self, rows: Tensor, lengths: Tensor) -> ImageStates:
        """What :meth:`take` gave of states, on any device, as states of B images."""
        return self._states_layout.decode(rows.unflatten(0, (len(lengths), -1)))

    def read(
        self, wanted: Wanted, batch_size: int = 64, places: Sequence[int] | None = None
    ) -> Iterator[tuple[list[int], FrozenFeatures]]:
        """After ``fill``: images that could be read, in order, as numbers and float32 features.

        Args:
            wanted: what is read; its ways of reading places are those that are kept, or fewer.
            batch_size: images that are handed on together.
            places: numbers of the images; None for all.
        """
        layout = self._features_layout
        kept = self._rows if wanted.places else self._rows[:, : layout.sizes[0]]  # places are most of what is on disk
        for there, rows in self._read(kept, batch_size, places):
            yield there, layout.decode(rows, wanted)

    def read_states(
        self, batch_size: int = 64, places: Sequence[int] | None = None
    ) -> Iterator[tuple[list[int], ImageStates]]:
        """As :meth:`read`, of states."""
        layout = self._states_layout
        for there, rows in self._read(self._rows, batch_size, places):
            yield there, layout.decode(rows)

    @property
    def part(self) -> str | None:
        """The name of the states that are kept; None where they are features."""
        return self._layout.part if isinstance(self._layout, StateLayout) else None

    @property
    def _features_layout(self) -> FeatureLayout:
        assert isinstance(self._layout, FeatureLayout)
        return self._layout

    @property
    def _states_layout(self) -> StateLayout:
        assert isinstance(self._layout, StateLayout)
        return self._layout

    def _read(
        self, kept: npt.NDArray[Any], batch_size: int, places: Sequence[int] | None
    ) -> Iterator[tuple[list[int], Tensor]]:
        order = range(len(self._items)) if places is None else places
        for start in range(0, len(order), batch_size):
            there = [place for place in order[start : start + batch_size] if place not in self._unreadable]
            if there:
                yield there, torch.from_numpy(kept[there]).to(self._device)

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
            encoded = self._layout.encode(self._backbone, batch.images)
            check_rounding(encoded, self._layout, self._rows.dtype)
            rows = encoded.float().cpu().numpy().astype(self._rows.dtype)
            first = rows[:, 0, 0].copy()
            rows[:, 0, 0] = np.nan  # a row that a kill tears is not there, also to others who have it mapped
            self._rows[batch.items] = rows
            self._rows[batch.items, 0, 0] = first
        for place, error in batch.unreadable:
            self._rows[place] = np.nan
            self._unreadable[place] = error
