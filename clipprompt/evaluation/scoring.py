"""Scores of many learners over one set of images: every image is decoded once and encoded once per image tower.

Learners whose image side is the same frozen computation share it, batch by batch. The dense features of a batch are
dropped after the batch is scored, or kept in a cache on disk; in memory stays one float32 per image, class and branch.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from clipprompt.datasets import MultiLabelImages, open_image
from clipprompt.errors import NotFiniteError, UserError
from clipprompt.features.image_cache import ImageCache
from clipprompt.features.image_rows import ImageRows
from clipprompt.features.images import (
    FrozenFeatures,
    Wanted,
    draft_opener,
    encode_images,
    image_batches,
    what_learners_read,
)
from clipprompt.features.layouts import StateLayout, states_of_all
from clipprompt.learners import BranchLogits, DenseLearner
from clipprompt.learners._base import ImageStates
from clipprompt.progress import track

if TYPE_CHECKING:
    from clipprompt.learners import Learner

BRANCHES = ("global", "local", "merged")
Key = TypeVar("Key", bound=Hashable)
FloatMatrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Scored(Generic[Key]):
    """Scores of N' readable images, C classes.

    Attributes:
        by_key: for each learner its scores (N', C) by branch; learners without a local branch have ``global`` alone.
        dataset: the images that were scored.
        skipped: ids of the images that could not be read, each with the reason.
    """

    by_key: dict[Key, dict[str, FloatMatrix]]
    dataset: MultiLabelImages
    skipped: tuple[tuple[str, str], ...]


class _Batch(NamedTuple):
    """Places in the set; their frozen features, states by part, and the images where they were decoded just now."""

    places: list[int]
    features: FrozenFeatures | None
    images: Tensor | None
    unreadable: list[tuple[int, UserError]]
    states: dict[str, ImageStates]


@torch.no_grad()
def score_images(
    learners: Mapping[Key, Learner],
    dataset: MultiLabelImages,
    *,
    batch_size: int = 64,
    workers: int = 4,
    cache: Path | None = None,
    draft: bool = False,
    kept: ImageRows | None = None,
    own_branch: bool = False,
) -> Scored[Key]:
    """Scores every readable image of a set with every learner.

    Args:
        learners: of one backbone; their class names must be those of the set, in its order.
        dataset: N images, C classes.
        batch_size: images that are encoded together. Results do not depend on it, save in the last bits.
        workers: threads that decode; 0 decodes in this one.
        cache: folder that keeps the features of image files (not of drawn scenes) for the next time. Its float16
            moves a cosine by about 1e-5. It is not used when a learner's image side is learnt, but for learners that
            all go on from the same pooled states.
        draft: decodes JPEG files at a reduced size; see :func:`clipprompt.datasets.open_image`.
        kept: features of these images, and maybe of others, that were filled before; used in place of ``cache``.
        own_branch: scores of the branch that a learner answers with alone.

    Raises:
        UserError: if no image can be read, class names differ, or a score is not finite.
    """
    _check(learners, dataset)
    rows: dict[Key, dict[str, FloatMatrix]] = {key: {} for key in learners}
    read: list[int] = []
    unreadable: list[tuple[int, UserError]] = []
    wanted = what_learners_read((one for one in learners.values() if one.image_side_is_frozen), own_branch=own_branch)
    if kept is None and cache is not None and is_cacheable(learners.values(), dataset):
        kept = _fill_cache(learners, dataset, cache, draft, wanted, batch_size=batch_size, workers=workers)
    if kept is not None:
        batches = _kept_batches(kept, dataset, wanted, batch_size)
    else:
        batches = _decoded_batches(learners, dataset, wanted, batch_size, workers, draft)
    for batch in batches:
        unreadable += batch.unreadable
        read += batch.places
        for key, learner in learners.items() if batch.places else ():
            for branch, logits in _logits(learner, batch, own_branch).items():
                matrix = rows[key].setdefault(branch, np.empty(dataset.targets.shape, dtype=np.float32))
                matrix[batch.places] = logits.float().cpu().numpy()
    if not read:
        raise UserError(f"{dataset.name}: none of its {len(dataset)} images can be read; {unreadable[0][1]}")
    scored = _without_unreadable(rows, dataset, read, unreadable)
    for key, branches in scored.by_key.items():
        for branch, matrix in branches.items():
            _check_finite(f"{key} ({branch})", matrix, scored.dataset)
    return scored


def is_cacheable(learners: Iterable[Learner], dataset: MultiLabelImages) -> bool:
    """Whether features can be kept: those of image files, for learners whose image side is frozen.

    States are kept too, where they are pooled and all learners go on from the same.
    """
    some = list(learners)
    frozen = all(learner.image_side_is_frozen for learner in some) or _pooled_states(some) is not None
    return dataset.open_item is open_image and frozen


def _pooled_states(learners: Iterable[Learner]) -> StateLayout | None:
    states = states_of_all(learners)
    return states if states is not None and states.n_rows == 1 else None


def _check(learners: Mapping[Key, Learner], dataset: MultiLabelImages) -> None:
    if not learners:
        raise UserError("there is no learner to score with")
    for key, learner in learners.items():
        if tuple(learner.classnames) != dataset.classnames:
            raise UserError(f"{key}: the learner's class names are not those of {dataset.name}; call set_classes first")
    if len({id(learner.backbone) for learner in learners.values()}) > 1:
        raise UserError("learners that are scored together must share one backbone")


def _fill_cache(
    learners: Mapping[Key, Learner],
    dataset: MultiLabelImages,
    cache: Path,
    draft: bool,
    wanted: Wanted,
    batch_size: int,
    workers: int,
) -> ImageRows:
    """An entry on disk that serves all learners, whatever they are: with the places as well."""
    backbone = next(iter(learners.values())).backbone
    settings = f"draft at {backbone.image_size}" if draft else "whole"
    opener = draft_opener(dataset.open_item, backbone.image_size) if draft else dataset.open_item
    kept = _pooled_states(learners.values()) or wanted.places or (False,)
    store = ImageCache(backbone, dataset.items, opener, cache, settings, kept)
    store.fill(batch_size=batch_size, workers=workers)
    return store


def _kept_batches(kept: ImageRows, dataset: MultiLabelImages, wanted: Wanted, batch_size: int) -> Iterator[_Batch]:
    rows, lost = kept.places_of(dataset.items), dict(kept.unreadable())
    places = [place for place, row in enumerate(rows) if row not in lost]
    there = [rows[place] for place in places]
    start = 0
    if kept.part is not None:
        for some, states in kept.read_states(batch_size, there):
            yield _Batch(places[start : start + len(some)], None, None, [], {kept.part: states})
            start += len(some)
    else:
        for some, features in kept.read(wanted, batch_size, there):
            yield _Batch(places[start : start + len(some)], features, None, [], {})
            start += len(some)
    yield _Batch([], None, None, [(place, lost[row]) for place, row in enumerate(rows) if row in lost], {})


def _decoded_batches(
    learners: Mapping[Key, Learner],
    dataset: MultiLabelImages,
    wanted: Wanted,
    batch_size: int,
    workers: int,
    draft: bool,
) -> Iterator[_Batch]:
    backbone = next(iter(learners.values())).backbone
    frozen = any(learner.image_side_is_frozen for learner in learners.values())
    opener = draft_opener(dataset.open_item, backbone.image_size) if draft else dataset.open_item
    places, n_batches = range(len(dataset)), -(-len(dataset) // max(batch_size, 1))
    stream = image_batches(backbone, places, lambda i: opener(dataset.items[i]), batch_size=batch_size, workers=workers)
    for batch in track(stream, "Scoring", total=n_batches, unit="batches"):
        features = encode_images(backbone, batch.images, wanted) if frozen and batch.items else None
        yield _Batch(batch.items, features, batch.images, batch.unreadable, {})


def _logits(learner: Learner, batch: _Batch, own_branch: bool) -> dict[str, Tensor]:
    """Logits (B, C) by branch."""
    dense = learner if isinstance(learner, DenseLearner) and not own_branch else None
    if learner.frozen_part is not None:
        if learner.frozen_part not in batch.states:
            assert batch.images is not None  # other states are kept beside such a learner
            states: Any = learner.encode_images(batch.images)
            batch.states[learner.frozen_part] = states
        return _by_branch(learner, learner.logits_from(batch.states[learner.frozen_part]))
    if not learner.image_side_is_frozen:
        assert batch.images is not None  # nothing is kept beside such a learner
        return _by_branch(learner, dense.image_logits(batch.images) if dense else learner(batch.images))
    assert batch.features is not None
    seen = batch.features.seen_by(learner)
    return _by_branch(learner, dense.branch_logits_from(seen) if dense else learner.logits_from(seen))


def _by_branch(learner: Learner, logits: Tensor | BranchLogits) -> dict[str, Tensor]:
    if isinstance(logits, Tensor):
        return {learner.branch: logits}
    return dict(zip(BRANCHES, logits, strict=True))


def _without_unreadable(
    rows: dict[Key, dict[str, FloatMatrix]],
    dataset: MultiLabelImages,
    read: list[int],
    unreadable: list[tuple[int, UserError]],
) -> Scored[Key]:
    if not unreadable:
        return Scored(rows, dataset, ())
    kept = {key: {branch: matrix[read] for branch, matrix in branches.items()} for key, branches in rows.items()}
    skipped = tuple((dataset.ids[place], str(error)) for place, error in unreadable)
    return Scored(kept, dataset.subset(read), skipped)


def _check_finite(what: str, scores: FloatMatrix, dataset: MultiLabelImages) -> None:
    wrong = np.argwhere(~np.isfinite(scores))
    if len(wrong):
        row, column = wrong[0]
        pair = f"image {dataset.ids[row]}, class {dataset.classnames[column]!r}"
        raise NotFiniteError(f"{what}: the score of {pair} is {scores[row, column]}; try --precision fp32")
