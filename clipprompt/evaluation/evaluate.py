"""Scores to numbers: branch, normalisation, ensemble, metrics. Fresh scores and saved ones take the same way."""

from __future__ import annotations

from collections.abc import Sequence

from clipprompt.evaluation.combine import MERGE, asked_of, check_weights, ensemble, pick_branch
from clipprompt.evaluation.measures import THRESHOLD, Measures, measure, sigmoid
from clipprompt.evaluation.metrics import ScoreMatrix
from clipprompt.evaluation.normalise import TRANSDUCTIVE, normalise
from clipprompt.evaluation.scores import ENSEMBLE, Scores


class Evaluated(Measures):
    """Metrics, and how the measured scores came about.

    Attributes:
        branch: global, local or merged.
        merge: weight of the local branch, where both were merged here; None where they came merged.
        normalise: none, image, prompt or both.
        transductive: whether an image's score depends on the other images of the set.
    """

    branch: str
    merge: float | None
    normalise: str
    transductive: bool


def evaluate_scores(
    files: Sequence[Scores],
    *,
    branch: str | None = None,
    merge: float | None = None,
    how: str = "none",
    weights: Sequence[float] | None = None,
    threshold: float = THRESHOLD,
) -> Evaluated:
    """Measures the scores of one learner, or the ensemble of several over the same set.

    Args:
        files: scores with equal targets, such as :func:`clipprompt.evaluation.combine.check_same_set` has passed.
        branch: see :func:`clipprompt.evaluation.combine.pick_branch`.
        merge: see there.
        how: the normalisation, see :func:`clipprompt.evaluation.normalise.normalise`.
        weights: see :func:`clipprompt.evaluation.combine.ensemble`.
        threshold: see :func:`clipprompt.evaluation.measures.measure`.

    Raises:
        UserError: as these functions.
    """
    shares = check_weights(weights, len(files))
    picked = [pick_branch(scores, *asked) for scores, asked in zip(files, asked_of(files, branch, merge), strict=True)]
    matrices = [normalise(matrix, how) for _, matrix in picked]
    name, matrix = picked[0][0], matrices[0]
    alone = len(files) == 1
    header = files[0].header
    as_scored = alone and how == "none" and header.get("scores") != ENSEMBLE
    probabilities = _probabilities(files[0], name, merge, matrix) if as_scored else None
    numbers = measure(matrix if alone else ensemble(matrices, shares), files[0].targets, probabilities, threshold)
    merged_here = name == "merged" and (merge is not None or "merged" not in files[0].by_branch)
    return {
        **numbers,
        "branch": name,
        "merge": (MERGE if merge is None else merge) if merged_here else None,
        "normalise": how,
        "transductive": how in TRANSDUCTIVE or not alone or header.get("transductive") is True,
    }


def _probabilities(scores: Scores, branch: str, merge: float | None, matrix: ScoreMatrix) -> tuple[str, ScoreMatrix]:
    """Calibrated ones for the scores that the calibration is of, otherwise what the scores themselves offer."""
    if branch in scores.probabilities and merge is None:
        return "calibrated", scores.probabilities[branch]
    if scores.header.get("scores") != "logits" and matrix.min() >= 0 and matrix.max() <= 1:
        return "given", matrix
    return "sigmoid", sigmoid(matrix)
