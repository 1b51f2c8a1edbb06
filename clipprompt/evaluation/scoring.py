"""Scores of many learners over one set of images: every image is decoded once and encoded once per image tower.

Learners whose image side is the same frozen computation share it, batch by batch. The dense features of a batch are
dropped after the batch is scored; what stays is one float32 per image, class and branch.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from clipprompt.datasets import MultiLabelImages
from clipprompt.errors import UserError
from clipprompt.progress import track

if TYPE_CHECKING:
    from clipprompt.backbone import Hidden
    from clipprompt.learners import ImageFeatures, Learner

BRANCHES = ("global", "local", "merged")
Key = TypeVar("Key", bound=Hashable)
FloatMatrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class BranchScores:
    """Scores (N, C) of each branch by its name; learners without a local branch have ``global`` alone."""

    by_branch: dict[str, FloatMatrix]

    def __getitem__(self, branch: str) -> FloatMatrix:
        if branch not in self.by_branch:
            raise UserError(f"there is no branch {branch!r} here; there is {', '.join(self.by_branch)}")
        return self.by_branch[branch]


@torch.no_grad()
def score_images(
    learners: Mapping[Key, Learner], dataset: MultiLabelImages, *, batch_size: int = 64, workers: int = 0
) -> dict[Key, BranchScores]:
    """Scores every image of a set with every learner.

    Args:
        learners: of one backbone; their class names must be those of the set, in its order.
        dataset: N images, C classes.
        batch_size: images that are encoded together. Results do not depend on it, save in the last bits.
        workers: processes that decode; 0 decodes in this one.

    Returns:
        The scores by the keys of ``learners``.

    Raises:
        UserError: for an unreadable image, class names that differ, or a score that is not finite.
    """
    _check(learners, dataset)
    kept: dict[Key, dict[str, FloatMatrix]] = {key: {} for key in learners}
    n_batches = -(-len(dataset) // max(batch_size, 1))
    start = 0
    for images in track(_batches(learners, dataset, batch_size, workers), "scoring", total=n_batches, unit="batches"):
        features = _encode(list(learners.values()), images)
        for (key, learner), encoded in zip(learners.items(), features, strict=True):
            for branch, logits in zip(BRANCHES, learner.branch_logits_from(encoded), strict=True):
                scores = kept[key].setdefault(branch, np.empty(dataset.targets.shape, dtype=np.float32))
                scores[start : start + len(images)] = logits.float().cpu().numpy()
        start += len(images)
    for key, branches in kept.items():
        for branch, scores in branches.items():
            _check_finite(f"{key} ({branch})", scores, dataset)
    return {key: BranchScores(branches) for key, branches in kept.items()}


def _check(learners: Mapping[Key, Learner], dataset: MultiLabelImages) -> None:
    if not learners:
        raise UserError("there is no learner to score with")
    for key, learner in learners.items():
        if tuple(learner.classnames) != dataset.classnames:
            raise UserError(f"{key}: the learner's class names are not those of {dataset.name}; call set_classes first")
    if len({id(learner.backbone) for learner in learners.values()}) > 1:
        raise UserError("learners that are scored together must share one backbone")


def _encode(learners: Sequence[Learner], images: Tensor) -> list[ImageFeatures]:
    """Image features for each learner: one pass of the frozen trunk, read once for every distinct key."""
    hidden: Hidden | None = None
    shared: dict[Hashable, ImageFeatures] = {}
    result = []
    for learner in learners:
        if not learner.image_side_is_frozen:
            result.append(learner.encode_images(images))
            continue
        key = learner.pools_with_positions
        if key not in shared:
            hidden = learner.backbone.vision.trunk(images) if hidden is None else hidden
            shared[key] = learner.features_from(hidden)
        result.append(shared[key])
    return result


def _check_finite(what: str, scores: FloatMatrix, dataset: MultiLabelImages) -> None:
    wrong = np.argwhere(~np.isfinite(scores))
    if len(wrong):
        row, column = wrong[0]
        pair = f"image {dataset.ids[row]}, class {dataset.classnames[column]!r}"
        raise UserError(f"{what}: the score of {pair} is {scores[row, column]}; try --precision fp32")


def _batches(
    learners: Mapping[Key, Learner], dataset: MultiLabelImages, batch_size: int, workers: int
) -> Iterator[Tensor]:
    """Image batches (B, 3, H, W) on the backbone's device, in the order of the set."""
    backbone = next(iter(learners.values())).backbone
    if backbone.preprocess is None:
        raise UserError(f"backbone {backbone.name} has no image transform; give one to Backbone.from_open_clip")
    if batch_size < 1 or workers < 0:
        raise UserError(f"batch size {batch_size} and {workers} workers: at least 1 and 0 are needed")
    loader: DataLoader[Tensor | str] = DataLoader(
        _Decoded(dataset, backbone.preprocess),
        batch_size=batch_size,
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=backbone.device.type == "cuda",
    )
    for batch in loader:
        if isinstance(batch, str):
            raise UserError(batch)
        yield batch.to(backbone.device, non_blocking=True)


class _Decoded(Dataset[Any]):
    """Transformed images; a failure comes back as its message, because an exception of a worker loses its one line."""

    def __init__(self, dataset: MultiLabelImages, transform: Any) -> None:
        self.dataset = dataset
        self.transform = transform

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Tensor | str:
        try:
            transformed: Tensor = self.transform(self.dataset[index])
        except UserError as error:
            return str(error)
        return transformed


def _collate(samples: list[Tensor | str]) -> Tensor | str:
    tensors = []
    for sample in samples:
        if isinstance(sample, str):
            return sample
        tensors.append(sample)
    return torch.stack(tensors)
