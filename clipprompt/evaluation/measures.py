"""All numbers about one matrix of scores, as records hold them."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
import torch

from clipprompt.errors import UserError
from clipprompt.evaluation.calibration_error import calibration_error
from clipprompt.evaluation.f1 import F1, f1, top_k
from clipprompt.evaluation.metrics import ScoreMatrix, TargetMatrix, average_precision

THRESHOLD = 0.5


class Measures(TypedDict):
    """Metrics in 0..1; lists are in the order of the classes.

    ``probabilities`` says what the threshold and the calibration error see: ``calibrated``; ``sigmoid`` of the logits,
    as published code does; ``given``, scores that lie in 0..1; or None where scores were normalised or ensembled and
    are neither logits nor probabilities. Then ``at_threshold`` and ``calibration_error`` are None.
    """

    mean_average_precision: float
    average_precision: list[float | None]
    n_positive: list[int]
    at_top3: F1
    threshold: float
    at_threshold: F1 | None
    probabilities: str | None
    calibration_error: float | None


def measure(
    scores: ScoreMatrix,
    targets: TargetMatrix,
    probabilities: tuple[str, ScoreMatrix] | None,
    threshold: float = THRESHOLD,
) -> Measures:
    """Measures one matrix.

    Args:
        scores: (N, C); mAP and top-3 are of their order.
        targets: (N, C) of 1 present, 0 absent, -1 unknown.
        probabilities: their kind and (N, C) in 0..1, where there are any.
        threshold: a label of at least this probability is taken.

    Raises:
        UserError: as :func:`average_precision`, and for a threshold outside 0..1.
    """
    check_threshold(threshold)
    result = average_precision(scores, targets)
    kind, values = probabilities or (None, None)
    return {
        "mean_average_precision": result.mean,
        "average_precision": list(result.per_class),
        "n_positive": (targets == 1).sum(axis=0).tolist(),
        "at_top3": f1(top_k(scores, targets), targets),
        "threshold": threshold,
        "at_threshold": None if values is None else f1(values >= threshold, targets),
        "probabilities": kind,
        "calibration_error": None if values is None else calibration_error(values, targets),
    }


def check_threshold(threshold: float) -> None:
    """Checks a threshold on probabilities.

    Raises:
        UserError: if it is not in 0..1.
    """
    if not 0 <= threshold <= 1:
        raise UserError(f"--threshold {threshold:g}: a threshold on probabilities lies in 0..1")


def sigmoid(logits: ScoreMatrix) -> ScoreMatrix:
    """Probabilities (N, C) of logits, float64."""
    probabilities: ScoreMatrix = torch.from_numpy(logits.astype(np.float64)).sigmoid().numpy()
    return probabilities
