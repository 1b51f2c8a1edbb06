"""From the branches of one or several scores files to the one matrix that is measured.

    file A: global, local --merge--> one matrix --normalise--+
                                                             +--> min-max each, weigh, add --> measured
    file B: global, local --merge--> one matrix --normalise--+

Each file is normalised on its own, before files meet: normalising after would be done to a mixture of scales. With
several files, each matrix is brought to 0..1 by its own smallest and largest score and then they are added with
weights, as for the ensembles of TaI-DPT's Table 3 (arXiv 2211.12739). Where the extremes are those of the test set, an
ensemble is transductive; those of a validation set (``ensembles.py``) leave it inductive. A single file is not min-max
normalised.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clipprompt.errors import UserError
from clipprompt.evaluation.metrics import ScoreMatrix
from clipprompt.evaluation.normalise import Range, extremes, scale_by
from clipprompt.evaluation.scores import Scores

MERGE = 0.5


def pick_branch(scores: Scores, branch: str | None = None, merge: float | None = None) -> tuple[str, ScoreMatrix]:
    """One branch, or both merged: (1 - merge) x global + merge x local.

    Args:
        scores: of one learner.
        branch: ``global``, ``local`` or ``merged``; None takes merged where both branches are there, otherwise what is.
        merge: weight of the local branch. None takes the merged scores that are saved, or else 0.5.

    Returns:
        The branch's name, and (N, C).

    Raises:
        UserError: for a branch that is not there, or a weight that is not in 0..1 or has no use.
    """
    there = dict(scores.by_branch)
    both = "global" in there and "local" in there
    if merge is not None:
        _check_merge(merge, both, branch, there)
    if both and (merge is not None or "merged" not in there):
        weight = MERGE if merge is None else merge
        there["merged"] = (1 - weight) * there["global"] + weight * there["local"]
    name = branch or ("merged" if "merged" in there else scores.default_branch)
    if name not in there:
        raise UserError(f"there is no branch {name!r} here; there is {', '.join(there)}")
    return name, there[name]


def asked_of(files: Sequence[Scores], branch: str | None, merge: float | None) -> list[tuple[str | None, float | None]]:
    """The branch and the merging that each file is asked for.

    Beside a file with both branches, one with nothing but ``scores`` gives these whatever is asked of the others, so
    that a learner with two branches and one with a single score can be an ensemble.
    """
    some_have_both = any({"global", "local"} <= set(scores.by_branch) for scores in files)
    return [
        (None, None) if some_have_both and set(scores.by_branch) == {"merged"} else (branch, merge) for scores in files
    ]


def _check_merge(merge: float, both: bool, branch: str | None, there: dict[str, ScoreMatrix]) -> None:
    if not 0 <= merge <= 1:
        raise UserError(f"--merge {merge:g}: the weight of the local branch lies in 0..1")
    if not both:
        raise UserError(f"--merge needs the global and the local branch; there is {', '.join(there)} alone")
    if branch not in (None, "merged"):
        raise UserError(f"--merge has no use with --branch {branch}; leave one of them out")


def ensemble(
    matrices: Sequence[ScoreMatrix], weights: Sequence[float] | None = None, ranges: Sequence[Range] | None = None
) -> ScoreMatrix:
    """The weighted mean of min-max normalised matrices.

    Args:
        matrices: (N, C) each.
        weights: one each, not negative; equal when None. They are divided by their sum, which changes no order.
        ranges: smallest and largest score of each member on other images. None takes those of the matrices, so that
            the result lies in 0..1.

    Raises:
        UserError: as :func:`check_weights`.
    """
    shares = np.asarray(check_weights(weights, len(matrices)))
    shares = shares / shares.sum()
    total = np.zeros(matrices[0].shape)
    for share, matrix, known in zip(shares, matrices, ranges or map(extremes, matrices), strict=True):
        total += share * scale_by(matrix, known)
    return total


def check_weights(weights: Sequence[float] | None, n_files: int, what: str = "files") -> tuple[float, ...]:
    """The weights of so many files; equal ones when None.

    Args:
        weights: one each.
        n_files: how many there are.
        what: errors call them.

    Raises:
        UserError: for another number of weights, one that is negative or not finite, or nothing but zeros.
    """
    if weights is None:
        return (1.0,) * n_files
    if len(weights) != n_files:
        raise UserError(f"--weights gives {len(weights)} numbers for {n_files} {what}; one for each is needed")
    for weight in weights:
        if not (np.isfinite(weight) and weight >= 0):
            raise UserError(f"--weights {weight:g}: a weight is a finite number and not negative")
    if not any(weights):
        raise UserError("--weights: at least one must be more than 0")
    return tuple(weights)


def check_same_set(files: Sequence[tuple[str, Scores]]) -> None:
    """Checks that scores are of the same images and classes, as far as their headers tell.

    Raises:
        UserError: naming two files, and what differs.
    """
    first_name, first = files[0]
    for name, other in files[1:]:
        pair = f"{first_name} and {name}"
        if first.targets.shape != other.targets.shape:
            raise UserError(f"{pair} differ in shape: {first.targets.shape} and {other.targets.shape}")
        for what, one, two in (("class", first.classnames, other.classnames), ("image", first.ids, other.ids)):
            # Names that one of the files does not have cannot be compared.
            for place, (a, b) in enumerate(zip(one, two, strict=False)):
                if a != b:
                    raise UserError(f"{pair} are not of the same set: {what} {place + 1} is {a!r} and {b!r}")
        if wrong := np.argwhere(first.targets != other.targets).tolist():
            row, column = wrong[0]
            a, b = first.targets[row, column], other.targets[row, column]
            raise UserError(f"{pair} are not of the same set: the label of image {row}, class {column} is {a} and {b}")
