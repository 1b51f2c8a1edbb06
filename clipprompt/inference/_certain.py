"""Where an answer is certain: a cut from which labels are there, and one below which they are not.

    yes   logit >= upper cut    the lowest one, not below the threshold, above which at least 90 % are present
    no    logit <  lower cut    the highest one, not above the threshold, that at least 90 % of the present ones reach

A share of few labels is mostly chance. That of a class is mixed with that of all classes above the same cut, and theirs
with what their probabilities promise; what is mixed in counts ``strength`` labels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from clipprompt.inference._logistic import Floats, Ints, sigmoid

_ROUNDING = 1e-9  # 9 of 10 are 90 %
_ROUND_PROBABILITIES = np.append(np.linspace(0.5, 0.99, 50), [0.995, 0.999])
_ROUND_CUTS = np.log(_ROUND_PROBABILITIES / (1 - _ROUND_PROBABILITIES))
"""Cuts beside those at present samples, so that one can lie above all samples."""


class CertainCuts(NamedTuple):
    """Cuts of one class or more; ``upper`` is infinite where no cut is precise enough."""

    lower: Floats
    upper: Floats


class _Counts(NamedTuple):
    """Labels at or above each of K cuts, (K,) each, and how many are present in all."""

    present: npt.NDArray[np.int64]
    absent: npt.NDArray[np.int64]
    n_present: int


def certain_cuts(
    logits: Floats, targets: Ints, thresholds: tuple[float, Floats], certainty: float, strength: float
) -> tuple[CertainCuts, CertainCuts]:
    """The cuts for all classes, and those of each.

    A class without a known present or a known absent sample has those of all.

    Args:
        logits: (N, C), of probabilities.
        targets: (N, C) of 1 present, 0 absent, -1 unknown: left out; a 1 and a 0 occur.
        thresholds: the common one, and C of the classes; what is certain lies on their right side.
        certainty: the share, 0.5 to 1.
        strength: labels that a share which is mixed in is worth; above 0.

    Returns:
        Common cuts (shape ()), and cuts (C,).
    """
    common, own = thresholds
    cuts = np.unique(np.concatenate([logits[targets == 1], _ROUND_CUTS]))
    every = _count(logits, targets, cuts)
    n_given = every.present + every.absent
    promised = _promised(logits[targets != -1], cuts)
    precision = (every.present + strength * promised) / (n_given + strength)
    recall = every.present / every.n_present
    shared = _place(cuts, precision, recall, common, certainty)
    columns = []
    for column, threshold in enumerate(own.tolist()):
        one = _count(logits[:, column], targets[:, column], cuts)
        if not one.n_present or not (targets[:, column] == 0).any():
            columns.append(shared)
            continue
        mixed = (one.present + strength * precision) / (one.present + one.absent + strength)
        kept = (one.present + strength * recall) / (one.n_present + strength)
        columns.append(_place(cuts, mixed, kept, threshold, certainty))
    lower, upper = np.array(columns).T
    return CertainCuts(*map(np.array, shared)), CertainCuts(lower, upper)


def _count(logits: Floats, targets: Ints, cuts: Floats) -> _Counts:
    present, absent = np.sort(logits[targets == 1]), np.sort(logits[targets == 0])
    return _Counts(
        len(present) - np.searchsorted(present, cuts), len(absent) - np.searchsorted(absent, cuts), len(present)
    )


def _promised(logits: Floats, cuts: Floats) -> Floats:
    """The mean probability (K,) of the logits at or above each of K cuts; the cut's own where there is none."""
    logits = np.sort(logits)
    n_given = len(logits) - np.searchsorted(logits, cuts)
    sums = np.append(0.0, np.cumsum(sigmoid(logits[::-1])))[n_given]
    return np.where(n_given > 0, sums / np.maximum(n_given, 1), sigmoid(cuts))


def _place(cuts: Floats, precision: Floats, recall: Floats, threshold: float, certainty: float) -> tuple[float, float]:
    """The lower and the upper of the rising cuts, around the threshold."""
    precise = cuts[(cuts >= threshold) & (precision >= certainty - _ROUNDING)]
    complete = cuts[recall >= certainty - _ROUNDING]  # the lowest of all cuts keeps all
    return min(float(complete[-1]), threshold), float(precise[0]) if len(precise) else np.inf
