"""Ensembles whose weights a validation set has chosen.

    validation:  scores of each member --extremes--> ranges --min-max, every weighting--> mAP --best--> weights
    test:        scores of each member --scaled by its range, weighed, added--> scores of the ensemble

Prompts learnt from captions and prompts learnt from pictures err differently, so that together they are better than
either (TaI-DPT, arXiv 2211.12739, Table 3). There scores are scaled by the extremes of the test set. Here scales and
weights can both come from validation pictures, so that no test picture has a say in another's score.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import comb

import numpy as np
import numpy.typing as npt

from clipprompt.errors import UserError
from clipprompt.evaluation.combine import check_weights, ensemble
from clipprompt.evaluation.metrics import ScoreMatrix, TargetMatrix, average_precision
from clipprompt.evaluation.normalise import Range, extremes, min_max

GIVEN = "given"
_STEPS, _MOST_POINTS = (20, 10, 5, 4, 3, 2, 1), 300


@dataclass(frozen=True)
class Ensemble:
    """How the scores of K members become one.

    Attributes:
        weights: K, not negative, that add up to 1.
        weights_by: how they were chosen, in words.
        ranges: smallest and largest score of each member on the validation set; None scales scores by their own.
    """

    weights: tuple[float, ...]
    weights_by: str
    ranges: tuple[Range, ...] | None = None

    @property
    def is_transductive(self) -> bool:
        """Whether an image's score depends on the others that are combined with it."""
        return self.ranges is None

    def combine(self, matrices: Sequence[ScoreMatrix]) -> ScoreMatrix:
        """The scores (N, C) of the ensemble, of the scores (N, C) of its members.

        With ranges of a validation set, some may lie outside of 0..1; only their order means anything.
        """
        return ensemble(matrices, self.weights, self.ranges)


def given_ensemble(weights: Sequence[float] | None, n_members: int, weights_by: str = GIVEN) -> Ensemble:
    """An ensemble with weights that nothing has chosen, scaled by the extremes of what it scores.

    Args:
        weights: one for each member; None for equal ones. They are divided by their sum.
        n_members: K.
        weights_by: how they came about, for the records.

    Raises:
        UserError: for impossible weights.
    """
    shares = check_weights(weights, n_members, "members")
    return Ensemble(tuple(share / sum(shares) for share in shares), weights_by)


def fit_ensemble(
    matrices: Sequence[ScoreMatrix],
    targets: TargetMatrix,
    where: str,
    *,
    weights: Sequence[float] | None = None,
    or_equal: bool = False,
) -> Ensemble:
    """An ensemble with the scales of a validation set, and with the weights that are best there.

    Args:
        matrices: K of (N, C): what each member says of the validation pictures.
        targets: (N, C) of 1 present, 0 absent, -1 unknown.
        where: the validation set in words, such as ``mini:val``.
        weights: that are given; None chooses them.
        or_equal: equal weights where the labels cannot choose, in place of an error; ``weights_by`` says so.

    Raises:
        UserError: for impossible weights, or as :func:`choose_weights`.
    """
    ranges = tuple(map(extremes, matrices))
    if weights is not None:
        return Ensemble(given_ensemble(weights, len(matrices)).weights, GIVEN, ranges)
    n_told = int(_told_apart(targets).sum())
    if or_equal and not n_told:
        equal = given_ensemble(None, len(matrices)).weights
        return Ensemble(equal, f"equal: the known labels of {where} cannot tell weights apart", ranges)
    chosen = choose_weights(matrices, targets)
    return Ensemble(chosen, f"best mAP on {where} ({len(targets):,} pictures, {n_told} classes)", ranges)


def choose_weights(matrices: Sequence[ScoreMatrix], targets: TargetMatrix) -> tuple[float, ...]:
    """The weights of the ensemble with the highest mAP.

    Every weighting of a grid is tried: steps of 0.05 for two and three members, wider ones for more, some 300 at most.
    Each member alone, and all of them equally, are among them. Of several that are best, the one
    nearest to equal weights is taken; of two as near, the one that gives earlier members more.

    Args:
        matrices: K of (N, C), on any scale: each is brought to 0..1 by its own extremes.
        targets: (N, C) of 1 present, 0 absent, -1 unknown. Unknown labels are left out; a class that is not known to be
            in one picture, and not to be in another, cannot tell weights apart and does not count.

    Returns:
        K weights that add up to 1.

    Raises:
        UserError: if there is no such class.
    """
    told = _told_apart(targets)
    if not told.any():
        raise UserError(
            "no class is known to be in one picture and not in another, so nothing can choose the weights; "
            "give validation pictures with more labels, or --weights 0.5,0.5"
        )
    scaled = [min_max(matrix)[:, told] for matrix in matrices]
    known = targets[:, told]
    grid = _grid(len(matrices))
    best, chosen = -1.0, grid[0]
    for weights in grid:
        total = sum(weight * matrix for weight, matrix in zip(weights, scaled, strict=True))
        found = average_precision(np.asarray(total), known).mean
        if found > best:
            best, chosen = found, weights
    return chosen


def _told_apart(targets: TargetMatrix) -> npt.NDArray[np.bool_]:
    """The classes of which labels of both kinds are known."""
    told: npt.NDArray[np.bool_] = (targets == 1).any(axis=0) & (targets == 0).any(axis=0)
    return told


def _grid(n_members: int) -> list[tuple[float, ...]]:
    """Weightings, those nearest to equal weights first."""
    steps = next(steps for steps in _STEPS if comb(steps + n_members - 1, steps) <= _MOST_POINTS or steps == 1)
    # As whole numbers, whose squares tell without rounding how far from equal they are.
    parts = sorted(_compositions(steps, n_members), key=lambda some: (sum(n * n for n in some), [-n for n in some]))
    equal = (1 / n_members,) * n_members
    return list(dict.fromkeys([equal, *(tuple(n / steps for n in some) for some in parts)]))


def _compositions(total: int, n_parts: int) -> Iterator[tuple[int, ...]]:
    """All ways to write ``total`` as an ordered sum of so many numbers from 0 on."""
    for bars in combinations(range(total + n_parts - 1), n_parts - 1):
        yield tuple(right - left - 1 for left, right in pairwise((-1, *bars, total + n_parts - 1)))
