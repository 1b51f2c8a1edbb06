"""CF1 and OF1: F1 over classes and over all pairs, of labels that were decided on.

    CP = mean over classes of  N_hit / N_taken      OP = sum of N_hit / sum of N_taken
    CR = mean over classes of  N_hit / N_present    OR = sum of N_hit / sum of N_present
    CF1 = 2 CP CR / (CP + CR)                       OF1 = 2 OP OR / (OP + OR)

(As in CNN-RNN, Wang et al. 2016, arXiv 1604.04573, and since then in the field. CF1 is the F1 of the averages, not the
average of the classes' F1, which libraries call macro F1.)

Pairs of an unknown label count nowhere. A class that is never taken has precision 0, and one without a positive has no
recall: it is left out of both class averages, as it is of mAP, but what was wrongly taken for it still lowers OP. Where
precision and recall are both 0, F1 is 0.
"""

from __future__ import annotations

from typing import TypedDict

import numpy as np
import numpy.typing as npt

from clipprompt.errors import UserError
from clipprompt.evaluation.metrics import ScoreMatrix, TargetMatrix, check_pairs

Decisions = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]


class F1(TypedDict):
    """Precision, recall and F1 in 0..1, over classes (C) and over all (O), under the field's names."""

    CP: float
    CR: float
    CF1: float
    OP: float
    OR: float
    OF1: float


def f1(taken: Decisions, targets: TargetMatrix) -> F1:
    """CF1, OF1 and what they are made of.

    Args:
        taken: (N, C), whether the image was given the label.
        targets: (N, C) of 1 present, 0 absent, -1 unknown.

    Raises:
        UserError: if the shapes differ, or no class has a positive.
    """
    check_pairs(taken.astype(np.float32), targets)
    n_hit = (taken & (targets == 1)).sum(axis=0)
    n_taken = (taken & (targets != -1)).sum(axis=0)
    n_present = (targets == 1).sum(axis=0)
    present = n_present > 0
    if not present.any():
        raise UserError("no class has a positive image, so there is no F1")
    cp = float(_share(n_hit, n_taken)[present].mean())
    cr = float(_share(n_hit, n_present)[present].mean())
    op, recall = float(_share(n_hit.sum(), n_taken.sum())), float(_share(n_hit.sum(), n_present.sum()))
    return {"CP": cp, "CR": cr, "CF1": _harmonic(cp, cr), "OP": op, "OR": recall, "OF1": _harmonic(op, recall)}


def top_k(scores: ScoreMatrix, targets: TargetMatrix, k: int = 3) -> Decisions:
    """Takes the k best labels of every image, among those whose label is known.

    Unknown pairs are not asked about, so they do not use up a place. Of equal scores the earlier class is taken; an
    image with fewer known labels gets them all.

    Args:
        scores: (N, C), comparable within an image.
        targets: (N, C); only where they are -1 matters.
        k: how many.
    """
    check_pairs(scores, targets)
    ranked = np.where(targets == -1, -np.inf, scores)
    best = np.argsort(-ranked, axis=1, kind="stable")[:, :k]
    taken = np.zeros(scores.shape, dtype=np.bool_)
    np.put_along_axis(taken, best, True, axis=1)
    known: Decisions = targets != -1
    return taken & known


def _share(part: Counts, whole: Counts) -> npt.NDArray[np.float64]:
    """A share, and 0 of nothing."""
    share: npt.NDArray[np.float64] = part / np.maximum(whole, 1)
    return share


def _harmonic(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
