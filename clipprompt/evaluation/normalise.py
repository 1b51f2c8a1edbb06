"""Score normalisation: standardising per class over the images, per image over the classes, or both.

Zero-shot scores of one class are not on the scale of another's, and some images are close to every text. Taking out
the mean and the spread costs nothing. Per image (``image``), only that image's scores are used. Per prompt
(``prompt``), a class is compared with itself over the whole set: this is *transductive*, as an image's score then
depends on the other test images. On its own it shifts and scales a class and therefore leaves AP as it is; followed by
``image`` it does not. That is why ``both`` is prompt first, then image. Labels are never used.
"""

from __future__ import annotations

import numpy as np

from clipprompt.errors import UserError, nearest
from clipprompt.evaluation.metrics import ScoreMatrix

NORMALISATIONS = ("none", "image", "prompt", "both")
TRANSDUCTIVE = ("prompt", "both")

Range = tuple[float, float]


def normalise(scores: ScoreMatrix, how: str) -> ScoreMatrix:
    """Scores with mean 0 and standard deviation 1 along an axis; constant rows and columns become 0.

    Args:
        scores: (N, C), finite.
        how: ``none``, ``image``, ``prompt`` or ``both``.

    Raises:
        UserError: for another name.
    """
    check_normalisation(how)
    if how in ("prompt", "both"):
        scores = _standardise(scores, axis=0)
    if how in ("image", "both"):
        scores = _standardise(scores, axis=1)
    return scores


def check_normalisation(how: str) -> None:
    """Checks the name of a normalisation.

    Raises:
        UserError: for an unknown one, with the nearest suggested.
    """
    if how not in NORMALISATIONS:
        hint = nearest(how, NORMALISATIONS)
        raise UserError(f"unknown normalisation {how!r}{hint}; choose one of {', '.join(NORMALISATIONS)}")


def min_max(scores: ScoreMatrix) -> ScoreMatrix:
    """Scores moved to 0..1 by the smallest and largest of the whole matrix; a constant matrix becomes 0."""
    return scale_by(scores, extremes(scores))


def extremes(scores: ScoreMatrix) -> Range:
    """The smallest and the largest score of the whole matrix."""
    return float(scores.min()), float(scores.max())


def scale_by(scores: ScoreMatrix, known: Range) -> ScoreMatrix:
    """Scores moved so that a range becomes 0..1.

    Args:
        scores: (N, C); those outside of the range end outside of 0..1.
        known: the smallest and the largest score, of these or of other images. Where both are one number, which tells
            nothing of the scale, all scores become 0.
    """
    low, high = known
    wide = scores.astype(np.float64)
    return (wide - low) / (high - low) if high > low else np.zeros_like(wide)


def _standardise(scores: ScoreMatrix, axis: int) -> ScoreMatrix:
    wide = scores.astype(np.float64)
    centred = wide - wide.mean(axis=axis, keepdims=True)
    spread = wide.std(axis=axis, keepdims=True)
    # Equal numbers can have a mean that is off by rounding; that must not be blown up to a spread of 1.
    constant = wide.max(axis=axis, keepdims=True) == wide.min(axis=axis, keepdims=True)
    return np.where(constant, 0.0, centred / np.where(spread > 0, spread, 1.0))
