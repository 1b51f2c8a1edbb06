"""Probabilities of the very samples that a calibration is made from, each by a curve that has not seen it."""

from __future__ import annotations

import numpy as np

from clipprompt.errors import UserError
from clipprompt.inference._logistic import Floats, Ints, Reals, sigmoid, standardise
from clipprompt.inference.calibrating import fit_curve

N_FOLDS = 5


def cross_fitted(scores: Reals, targets: Ints, own: Ints) -> Floats:
    """Probabilities by curves that were each fitted to four fifths of the samples and are applied to the others.

    Args:
        scores: (N, R) of N samples for the reference list.
        targets: (N, C) of 1 present, 0 absent, -1 unknown: left out.
        own: (C,) where each class stands in the list.

    Returns:
        (N, C) in 0..1.

    Raises:
        UserError: if one of the parts cannot be left out, as the rest has too few known labels.
    """
    z = standardise(scores[:, own], scores, own)
    part_of = np.random.default_rng(0).permutation(len(z)) % N_FOLDS
    found = np.zeros(z.shape)
    for part in range(N_FOLDS):
        inside = part_of == part
        rest = targets[~inside]
        if not (rest == 1).any() or not (rest == 0).any():
            raise UserError(
                f"too few of the {len(z):,} samples have known labels to leave out a fifth of them, "
                "as a reliability plot does; calibrate on more, or leave out --reliability"
            )
        curve = fit_curve(z[~inside], rest)
        found[inside] = sigmoid(curve.slope * z[inside] + curve.offset)
    return found
