"""Average precision of multi-label scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from clipprompt.errors import UserError

ScoreMatrix = npt.NDArray[np.floating[Any]]
TargetMatrix = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class AveragePrecision:
    """Average precision in 0..1.

    Attributes:
        per_class: C values; None for a class that no image is known to show.
        mean: over the classes that have a value.
    """

    per_class: tuple[float | None, ...]
    mean: float


def average_precision(scores: ScoreMatrix, targets: TargetMatrix) -> AveragePrecision:
    """Average precision of every class, and its mean (mAP).

    Of one class: the images are ranked by score, and AP = sum over k of (recall_k - recall_(k-1)) x precision_k, where
    k runs over the *distinct* scores from high to low. So images of equal score enter together, and the order in which
    the images come cannot matter. Without ties this is the mean of the precision at each positive.

    Entries of -1 (unknown) are left out, class by class. A class without a positive has no average precision: it is
    None and does not enter the mean. (Some published code counts such a class as 0, and unknown or difficult entries as
    negatives; for the latter, turn -1 into 0 before the call.)

    Args:
        scores: (N, C), higher is more likely; only their order within a class matters.
        targets: (N, C) of 1 present, 0 absent, -1 unknown.

    Raises:
        UserError: if the shapes differ, a score is not finite, or no class has a positive.
    """
    check_pairs(scores, targets)
    columns = zip(np.ascontiguousarray(scores.T), np.ascontiguousarray(targets.T), strict=True)
    per_class = tuple(_one_class(*column) for column in columns)
    known = [value for value in per_class if value is not None]
    if not known:
        raise UserError("no class has a positive image, so there is no average precision")
    return AveragePrecision(per_class, float(np.mean(known)))


def check_pairs(scores: ScoreMatrix, targets: TargetMatrix) -> None:
    """Checks that scores and targets belong together.

    Raises:
        UserError: if the shapes differ or are not (images, classes), or a score is not finite.
    """
    if scores.ndim != 2 or scores.shape != targets.shape:
        raise UserError(f"scores {scores.shape} and targets {targets.shape} must both be (images, classes)")
    if not np.isfinite(scores).all():
        image, column = np.argwhere(~np.isfinite(scores))[0]
        raise UserError(
            f"the score of image {image} for class {column} is {scores[image, column]}, not a finite number"
        )


def _one_class(scores: npt.NDArray[np.floating[Any]], targets: npt.NDArray[np.integer[Any]]) -> float | None:
    known = targets != -1
    labels = targets[known] == 1
    if not labels.any():
        return None
    order = np.argsort(-scores[known])
    ranked = scores[known][order]
    last = np.append(ranked[1:] != ranked[:-1], True)  # of images with one score, which enter together
    hits, taken = np.cumsum(labels[order])[last], np.flatnonzero(last) + 1
    return float((np.diff(hits, prepend=0) * hits / taken).sum() / hits[-1])
