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
_STEPS, _TOLERANCE = 200, 1e-9


class Logistic(NamedTuple):
    """P(class c | z) = sigmoid(slope * z + offset + offsets[c]), where the offsets (C,) sum to 0."""

    slope: float
    offset: float
    offsets: Floats


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


def fit_logistic(z: Floats, targets: Ints, penalty: float) -> Logistic:
    """Maximum likelihood of known labels, with class offsets drawn towards one offset for all.

        minimise  sum of log-losses  +  penalty / 2 * sum of offsets[c]^2  +  SLOPE_PENALTY / 2 * slope^2

    (Platt 1999, with one slope for all classes.) Newton's method with halved steps; the Hessian is an arrow, so a step
    costs O(NC). The weak penalty of the slope keeps it finite where the scores separate the labels.

    Args:
        z: (N, C) standardised scores.
        targets: (N, C) of 1 present, 0 absent, -1 unknown; both 1 and 0 occur.
        penalty: how many certain samples of a class the shared offset is worth, roughly.
    """
    known = targets != -1
    present = (targets == 1).astype(np.float64)
    fit = Logistic(0.0, 0.0, np.zeros(z.shape[1]))
    loss = _loss(fit, z, present, known, penalty)
    for _ in range(_STEPS):
        step, promised = _newton_step(fit, z, present, known, penalty)
        if promised < _TOLERANCE:
            break
        size, moved, now = 1.0, _move(fit, step, 1.0), np.inf
        while (now := _loss(moved, z, present, known, penalty)) > loss and size > _TOLERANCE:
            size /= 2
            moved = _move(fit, step, size)
        if now > loss:
            break
        fit, loss = moved, now
    return fit


def _move(fit: Logistic, step: Logistic, size: float) -> Logistic:
    return Logistic(fit.slope - size * step.slope, fit.offset - size * step.offset, fit.offsets - size * step.offsets)


def _logits(fit: Logistic, z: Floats) -> Floats:
    return fit.slope * z + (fit.offset + fit.offsets)


def _loss(fit: Logistic, z: Floats, present: Floats, known: npt.NDArray[np.bool_], penalty: float) -> float:
    logits = _logits(fit, z)
    losses = (np.logaddexp(0.0, logits) - present * logits) * known
    return float(losses.sum() + penalty / 2 * (fit.offsets**2).sum() + SLOPE_PENALTY / 2 * fit.slope**2)


def _newton_step(
    fit: Logistic, z: Floats, present: Floats, known: npt.NDArray[np.bool_], penalty: float
) -> tuple[Logistic, float]:
    """The Newton step, and how much it lowers a quadratic loss, twice over."""
    p = sigmoid(_logits(fit, z))
    residual, weight = (p - present) * known, p * (1 - p) * known
    gradient = np.array([(residual * z).sum() + SLOPE_PENALTY * fit.slope, residual.sum()])
    of_classes = residual.sum(axis=0) + penalty * fit.offsets
    side = np.stack([(weight * z).sum(axis=0), weight.sum(axis=0)])  # (2, C): the arrow's shaft
    diagonal = side[1] + penalty
    corner = np.array([[(weight * z * z).sum() + SLOPE_PENALTY, side[0].sum()], [side[0].sum(), side[1].sum()]])
    shared = np.linalg.solve(corner - (side / diagonal) @ side.T, gradient - side @ (of_classes / diagonal))
    offsets = (of_classes - shared @ side) / diagonal
    promised = float(gradient @ shared + of_classes @ offsets)
    return Logistic(float(shared[0]), float(shared[1]), offsets), promised
