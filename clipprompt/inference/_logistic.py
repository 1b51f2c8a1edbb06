"""From scores to probabilities: standardised scores and a logistic curve, in float64 numpy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Reals = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]

SLOPE_PENALTY = 1.0
_LEAST_DEVIATION = 1e-9  # scores that are all equal say nothing; they must not become nan
_STEPS, _TOLERANCE = 100, 1e-10


class Logistic(NamedTuple):
    """The curve P(present | z) = sigmoid(slope * z + offset)."""

    slope: float
    offset: float


def standardise(scores: Reals, reference: Reals, own: Ints) -> Floats:
    """Scores in units of how the same sample scores the *other* classes of a reference list.

        z_c = (s_c - mean of the others) / standard deviation of the others

    Captions lie nearer to class prompts than pictures do; such a shift or stretch of all scores of a sample leaves z
    as it is. A class is left out of its own yardstick, so that z means the same within the list and outside it.

    Args:
        scores: (B, C).
        reference: (B, R) scores of the same samples, for the R classes of the list; R >= 3.
        own: (C,) where each class stands in the list; -1 for one outside it.

    Returns:
        (B, C).
    """
    reference = reference.astype(np.float64)
    centre = reference.mean(axis=1, keepdims=True)  # first, so that the squares do not cancel
    centred = reference - centre
    left_out = np.where(own >= 0, centred[:, own], 0.0)
    n_others = reference.shape[1] - (own >= 0)
    mean = -left_out / n_others
    squares = (centred**2).sum(axis=1, keepdims=True) - left_out**2
    deviation = np.sqrt(np.maximum(squares / n_others - mean**2, 0.0))
    return np.asarray((scores - centre - mean) / np.maximum(deviation, _LEAST_DEVIATION), dtype=np.float64)


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-x)), without overflow."""
    return np.asarray(np.exp(-np.logaddexp(0.0, -logits)), dtype=np.float64)


def fit_logistic(z: Floats, present: npt.NDArray[np.bool_]) -> Logistic:
    """The most likely curve (Platt 1999), by Newton's method with halved steps.

        minimise  sum of log-losses  +  SLOPE_PENALTY / 2 * slope^2

    The weak penalty keeps the slope finite where the scores separate the labels.

    Args:
        z: (M,) standardised scores.
        present: (M,) labels, with at least one True and one False.
    """
    inputs = np.stack([z, np.ones_like(z)], axis=1)
    penalty = np.array([SLOPE_PENALTY, 0.0])

    def loss(curve: Floats) -> float:
        logits = inputs @ curve
        return float((np.logaddexp(0.0, logits) - present * logits).sum() + (penalty * curve**2).sum() / 2)

    curve: Floats = np.zeros(2)
    for _ in range(_STEPS):
        p = sigmoid(inputs @ curve)
        gradient = inputs.T @ (p - present) + penalty * curve
        hessian = (inputs * (p * (1 - p))[:, None]).T @ inputs + np.diag(penalty)
        step = np.linalg.solve(hessian, gradient)
        if gradient @ step < _TOLERANCE:
            break
        before, size = loss(curve), 1.0
        while loss(curve - size * step) > before and size > _TOLERANCE:
            size /= 2
        curve = curve - size * step
    return Logistic(float(curve[0]), float(curve[1]))
