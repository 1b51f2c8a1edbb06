"""Where to cut scores so that F1 is highest, per class, with caution where a class has few examples."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from clipprompt.inference._logistic import Floats, Ints


def f1_cuts(logits: Floats, targets: Ints, strength: float) -> tuple[float, Floats]:
    """One cut for all classes, and one per class; a class is present where its logit reaches the cut.

    The best cut of a class with few examples is mostly chance, so it is drawn towards the common one: with n examples
    it counts n / (n + strength). A class without a known present or a known absent sample takes the common one.

    Args:
        logits: (N, C).
        targets: (N, C) of 1 present, 0 absent, -1 unknown; a 1 occurs.
        strength: examples that the common cut is worth.

    Returns:
        The common cut, and C cuts.
    """
    known = targets != -1
    common = best_cut(logits[known], targets[known] == 1)
    cuts = np.full(logits.shape[1], common)
    for column in range(logits.shape[1]):
        rows = known[:, column]
        present = targets[rows, column] == 1
        n_present = int(present.sum())
        if 0 < n_present < len(present):
            weight = n_present / (n_present + strength)
            cuts[column] = weight * best_cut(logits[rows, column], present) + (1 - weight) * common
    return common, cuts


def best_cut(logits: Floats, present: npt.NDArray[np.bool_]) -> float:
    """The cut with the highest F1, midway between two logits; of equals the highest, so that fewer labels are given.

    Args:
        logits: (N,).
        present: (N,), with at least one True.
    """
    order = np.argsort(-logits, kind="stable")
    ranked, hits = logits[order], np.cumsum(present[order])
    f1 = 2 * hits / (np.arange(1, len(ranked) + 1) + hits[-1])
    last_of_equals = np.append(ranked[1:] < ranked[:-1], True)
    best = int(np.argmax(np.where(last_of_equals, f1, -1.0)))
    below = ranked[best + 1] if best + 1 < len(ranked) else ranked[best]
    return float((ranked[best] + below) / 2)
