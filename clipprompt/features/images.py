r"""Frozen features of many images: decoded in threads, encoded in batches, one pass of the tower for all learners.

items --decode (threads)--> pixels --batch--> trunk (once) --> pooled with positions    \
\-> pooled without             } ImageFeatures for each learner
\-> places, for local branches /
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from clipprompt.backbone import Backbone, ImageTransform
from clipprompt.datasets.decoding import decode_in_order, open_image
from clipprompt.errors import UserError
from clipprompt.learners import DenseLearner, ImageFeatures, Learner

T = TypeVar("T")
Opener = Callable[[Any], Image.Image]


class Wanted(NamedTuple):
    """What is read from the trunk.

    Attributes:
        pools: the values of ``positional`` with which it is pooled.
        places: whether the places are projected, for local branches.
    """

    pools: tuple[bool, ...]
    places: bool


@dataclass(frozen=True)
class FrozenFeatures:
    """L2-normalised float32 features of B images.

    Attributes:
        pooled: (B, E) by the value of ``positional``.
        local: (B, P, E); P is 0 where no places were wanted.
    """

    pooled: dict[bool, Tensor]
    local: Tensor

    def seen_by(self, learner: Learner) -> ImageFeatures:
        """The features as a learner reads them."""
        kind = learner.pools_with_positions
        return ImageFeatures(self.pooled[kind if kind in self.pooled else not kind], self.local)


@dataclass(frozen=True)
class ImageBatch(Generic[T]):
    """Decoded images of one batch.

    Attributes:
        items: those that could be read, B of them.
        images: (B, 3, H, W) on the backbone's device, normalised.
        unreadable: the others, each with the reason.
    """

    items: list[T]
    images: Tensor
    unreadable: list[tuple[T, UserError]]


def what_learners_read(learners: Iterable[Learner]) -> Wanted:
    """What the trunk must be read for, so that all learners have their features."""
    some = list(learners)
    if not some:
        return Wanted((True,), False)
    differ = some[0].backbone.vision.pools_with_positions
    kinds = {learner.pools_with_positions for learner in some} if differ else {True}
    return Wanted(tuple(sorted(kinds)), any(isinstance(learner, DenseLearner) for learner in some))


def everything(backbone: Backbone) -> Wanted:
    """All that any learner could read from the trunk, for caches that serve them all."""
    return Wanted((False, True) if backbone.vision.pools_with_positions else (True,), True)


@torch.no_grad()
def encode_images(backbone: Backbone, images: Tensor, wanted: Wanted) -> FrozenFeatures:
    """One pass of the trunk over images (B, 3, H, W), and all readings of it."""
    tower = backbone.vision
    hidden = tower.trunk(images)
    pooled = {kind: F.normalize(tower.pool(hidden, positional=kind), dim=-1) for kind in wanted.pools}
    first = pooled[wanted.pools[0]]
    places = F.normalize(tower.project(hidden), dim=-1) if wanted.places else first.new_empty(len(first), 0, 0)
    return FrozenFeatures(pooled, places)


def image_batches(
    backbone: Backbone,
    items: Iterable[T],
    open_item: Opener = open_image,
    *,
    batch_size: int = 64,
    workers: int = 4,
) -> Iterator[ImageBatch[T]]:
    """Decodes items in threads and hands them on in batches, in order; while one is used the next are decoded.

    Args:
        backbone: gives transform and device.
        items: may be endless: memory holds three batches.
        open_item: an item to an RGB picture; a ``UserError`` of it does not end the stream.
        batch_size: items of a batch, unreadable ones included.
        workers: threads that decode; 0 decodes in this one.

    Raises:
        UserError: for a backbone without a transform, or an impossible batch size.
    """
    transform = check_loading(backbone, batch_size, workers)
    stream = decode_in_order(
        items, lambda item: transform.pixels(open_item(item)), workers=workers, ahead=2 * batch_size
    )
    group: list[tuple[T, Tensor | UserError]] = []
    for entry in stream:
        group.append(entry)
        if len(group) == batch_size:
            yield _collate(backbone, transform, group)
            group = []
    if group:
        yield _collate(backbone, transform, group)


def check_loading(backbone: Backbone, batch_size: int, workers: int) -> ImageTransform:
    """The backbone's transform.

    Raises:
        UserError: if it has none, or the numbers are impossible.
    """
    if backbone.preprocess is None:
        raise UserError(f"backbone {backbone.name} has no image transform; give one to Backbone.from_open_clip")
    if batch_size < 1 or workers < 0:
        raise UserError(f"batch size {batch_size} and {workers} workers: at least 1 and 0 are needed")
    return backbone.preprocess


def draft_opener(open_item: Opener, image_size: int) -> Opener:
    """Decodes JPEG files at a reduced size that still holds ``image_size`` pixels; other openers stay as they are."""
    return partial(open_image, draft=image_size) if open_item is open_image else open_item


def _collate(
    backbone: Backbone, transform: ImageTransform, group: Sequence[tuple[T, Tensor | UserError]]
) -> ImageBatch[T]:
    items, pixels, unreadable = [], [], []
    for item, result in group:
        if isinstance(result, UserError):
            unreadable.append((item, result))
        else:
            items.append(item)
            pixels.append(result.permute(1, 2, 0))
    if not items:
        return ImageBatch([], torch.empty(0, device=backbone.device), unreadable)
    # Stacked with colours innermost, as they were decoded and as convolutions like them.
    stacked = torch.stack(pixels).to(backbone.device).permute(0, 3, 1, 2)
    return ImageBatch(items, transform.normalise(stacked), unreadable)
