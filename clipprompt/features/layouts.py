"""What is kept of an image, as R rows of width W: features that any learner reads, or states that some go on from.

trunk --pooled, projected--> FrozenFeatures (pools + P, E)       FeatureLayout
trunk --up to a layer, or pooled before the joint space--> ImageStates (tokens, W)    StateLayout
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from math import prod
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.features.images import FrozenFeatures, Wanted, check_loading, encode_images, everything
from clipprompt.learners import Learner
from clipprompt.learners._base import ImageStates

Encode = Callable[[Tensor], ImageStates]


@dataclass(frozen=True)
class FeatureLayout:
    """Pooled features, then those of each way of reading places.

    Attributes:
        wanted: what is kept.
        sizes: rows of the pooled features, and of each way of reading places.
        width: E.
    """

    wanted: Wanted
    sizes: tuple[int, ...]
    width: int

    @classmethod
    def of(cls, backbone: Backbone, places: tuple[bool, ...]) -> FeatureLayout:
        """The layout that serves all learners which read places in these ways, or not at all."""
        wanted = everything(backbone, places)
        n_places = _n_places(backbone) if places else 0
        sizes = (len(wanted.pools), *(n_places + as_pooled for as_pooled in wanted.places))
        return cls(wanted, sizes, backbone.embed_dim)

    @property
    def n_rows(self) -> int:
        """R."""
        return sum(self.sizes)

    @property
    def kind(self) -> str:
        """For the name of an entry."""
        kinds = ["pooled", *("local as pooled" if kind else "local" for kind in self.wanted.places)]
        return f"{' and '.join(kinds)} features of images, normalised"

    def encode(self, backbone: Backbone, images: Tensor) -> Tensor:
        """Rows (B, R, W) of images (B, 3, H, W)."""
        features = encode_images(backbone, images, self.wanted)
        pooled = torch.stack([features.pooled[kind] for kind in self.wanted.pools], dim=1)
        return torch.cat([pooled, *(features.local[kind] for kind in self.wanted.places)], dim=1)

    def decode(self, rows: Tensor, wanted: Wanted | None = None) -> FrozenFeatures:
        """Float32 features of B images from all rows (B, R, W), or from the pooled ones where no places are wanted."""
        wanted = wanted or self.wanted
        # Widened part by part, so that each is whole in memory, and on the device, to which half of the bytes went.
        parts = rows.split(self.sizes if wanted.places else self.sizes[:1], dim=1)
        whole, *places = (part.float() for part in parts)
        pooled = {kind: whole[:, n] for n, kind in enumerate(self.wanted.pools) if kind in wanted.pools}
        return FrozenFeatures(pooled, dict(zip(self.wanted.places, places, strict=False)))


@dataclass(frozen=True)
class StateLayout:
    """States of the frozen tower, as all learners with the same ``frozen_part`` go on from them.

    Attributes:
        part: its name.
        shape: of one image's states, (tokens, W) or (W,).
        grid: rows and columns of places.
        dtype: in which the tower gives them, and the learner takes them.
        compute: a learner's ``encode_images``; None where nothing is encoded any more.
    """

    part: str
    shape: tuple[int, ...]
    grid: tuple[int, int]
    dtype: torch.dtype
    compute: Encode | None = None

    @classmethod
    def of(cls, learner: Learner) -> StateLayout:
        """The layout of a learner's frozen part, which a black image tells."""
        if learner.frozen_part is None:
            raise TypeError(f"{learner.name} has no frozen part")
        known = _known.setdefault(learner.backbone, {})
        if learner.frozen_part not in known:
            backbone = learner.backbone
            height, width = _pixels(backbone)
            states = _states_of(learner, torch.zeros(1, 3, height, width, device=backbone.device))
            shape = tuple(states.values.shape[1:])
            known[learner.frozen_part] = cls(learner.frozen_part, shape, states.grid, states.values.dtype)
        return replace(known[learner.frozen_part], compute=lambda images: _states_of(learner, images))

    @property
    def width(self) -> int:
        """W."""
        return self.shape[-1]

    @property
    def n_rows(self) -> int:
        """R."""
        return prod(self.shape[:-1])

    def nbytes(self, dtype: str) -> int:
        """Size of one image's states, kept as ``dtype``."""
        return prod(self.shape) * np.dtype(dtype).itemsize

    @property
    def kind(self) -> str:
        """For the name of an entry."""
        return f"states of images, {self.part}"

    def encode(self, backbone: Backbone, images: Tensor) -> Tensor:
        """Rows (B, R, W) of images (B, 3, H, W)."""
        assert self.compute is not None
        return self.compute(images).values.reshape(len(images), self.n_rows, self.width)

    def decode(self, rows: Tensor) -> ImageStates:
        """States of B images from their rows (B, R, W)."""
        return ImageStates(rows.to(self.dtype).reshape(len(rows), *self.shape), self.grid)


Layout = FeatureLayout | StateLayout

_known: WeakKeyDictionary[Backbone, dict[str, StateLayout]] = WeakKeyDictionary()


def layout_for(backbone: Backbone, kept: tuple[bool, ...] | StateLayout) -> Layout:
    """The layout of features with some ways of reading places, or of states."""
    return kept if isinstance(kept, StateLayout) else FeatureLayout.of(backbone, kept)


def states_of_all(learners: Iterable[Learner]) -> StateLayout | None:
    """The states that all of some learners of a backbone go on from; None where there are no such."""
    some = list(learners)
    parts = {learner.frozen_part for learner in some}
    return None if len(parts) != 1 or None in parts else StateLayout.of(some[0])


def without_encoder(layout: Layout) -> Layout:
    """The layout without the learner that encoded by it, and so without its backbone."""
    return replace(layout, compute=None) if isinstance(layout, StateLayout) else layout


def check_rounding(rows: Tensor, layout: Layout, dtype: Any) -> None:
    """Refuses to keep numbers that are finite and would not be in ``dtype``.

    Raises:
        UserError: naming the largest.
    """
    if dtype != "float16" or isinstance(layout, FeatureLayout):  # these are normalised
        return
    largest = float(rows.abs().amax()) if rows.numel() else 0.0
    if torch.finfo(torch.float16).max < largest < float("inf"):
        raise UserError(
            f"{layout.kind}: {largest:.3g} is too large for float16; keep them with data.cache_dtype=float32"
        )


def _states_of(learner: Learner, images: Tensor) -> ImageStates:
    with torch.no_grad():
        states: Any = learner.encode_images(images)
    assert isinstance(states, ImageStates)
    return states


def _n_places(backbone: Backbone) -> int:
    height, width = _pixels(backbone)
    return (height // backbone.vision.patch_size) * (width // backbone.vision.patch_size)


def _pixels(backbone: Backbone) -> tuple[int, int]:
    height, width = check_loading(backbone, 1, 0).pixels(Image.new("RGB", (64, 64))).shape[1:]
    return height, width
