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
from clipprompt.learners import DenseLearner, ImageFeatures, Learner, learner_class, project_places

T = TypeVar("T")
Opener = Callable[[Any], Image.Image]


class Wanted(NamedTuple):
    """What is read from the trunk.

    Attributes:
        pools: the values of ``positional`` with which it is pooled.
        places: the values of ``places_as_pooled`` with which the places are projected, for local branches; may be none.
    """

    pools: tuple[bool, ...]
    places: tuple[bool, ...]


@dataclass(frozen=True)
class FrozenFeatures:
    """L2-normalised float32 features of B images.

    Attributes:
        pooled: (B, E) by the value of ``positional``.
        local: (B, P, E) by the value of ``places_as_pooled``; empty where no places were wanted.
    """

    pooled: dict[bool, Tensor]
    local: dict[bool, Tensor]

    def seen_by(self, learner: Learner) -> ImageFeatures:
        """The features as a learner reads them; P is 0 where its places were not wanted."""
        kind = learner.pools_with_positions
        whole = self.pooled[kind if kind in self.pooled else not kind]
        none = whole.new_empty(len(whole), 0, whole.shape[-1])
        return ImageFeatures(whole, self.local.get(learner.places_as_pooled, none))


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


def what_learners_read(learners: Iterable[Learner], *, own_branch: bool = False) -> Wanted:
    """What the trunk must be read for, so that all learners have their features.

    Args:
        learners: of one backbone.
        own_branch: only for the branch that each answers with, not for all that it has.
    """
    some = list(learners)
    if not some:
        return Wanted((True,), ())
    differ = some[0].backbone.vision.pools_with_positions
    kinds = {learner.pools_with_positions for learner in some} if differ else {True}
    places = {learner.places_as_pooled for learner in some if _reads_places(learner, own_branch)}
    return Wanted(tuple(sorted(kinds)), tuple(sorted(places)))


def places_read_by(method: str) -> tuple[bool, ...]:
    """The ways of reading places that a method answers with, known before there is a learner."""
    kind = learner_class(method)
    return (kind.places_as_pooled,) if issubclass(kind, DenseLearner) and kind.branch != "global" else ()


def _reads_places(learner: Learner, own_branch: bool) -> bool:
    return isinstance(learner, DenseLearner) and (learner.branch != "global" or not own_branch)


def everything(backbone: Backbone, places: tuple[bool, ...] = (False,)) -> Wanted:
    """All that any learner could read from the trunk, for caches that serve them all.

    Args:
        backbone: tells how many ways of pooling there are.
        places: the ways of reading places that are kept, each as large as all the rest.
    """
    return Wanted((False, True) if backbone.vision.pools_with_positions else (True,), places)


@torch.no_grad()
def encode_images(backbone: Backbone, images: Tensor, wanted: Wanted) -> FrozenFeatures:
    """One pass of the trunk over images (B, 3, H, W), and all readings of it."""
    tower = backbone.vision
    hidden = tower.trunk(images)
    pooled = {kind: F.normalize(tower.pool(hidden, positional=kind), dim=-1) for kind in wanted.pools}
    return FrozenFeatures(pooled, {kind: project_places(tower, hidden, as_pooled=kind) for kind in wanted.places})


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
