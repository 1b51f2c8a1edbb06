"""Fits a calibration to scores with labels, of captions or of images alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from clipprompt.errors import UserError
from clipprompt.inference._f1_cuts import f1_cuts
from clipprompt.inference._logistic import Ints, Reals, fit_logistic, sigmoid, standardise
from clipprompt.inference.calibration import MIN_CLASSES, Calibration, ClassCalibration, check_scores

if TYPE_CHECKING:
    from clipprompt.inference._samples import Samples
    from clipprompt.learners import Learner

# Examples that what all classes share is worth against a class of its own; chosen on the mini scenes' split "val".
OFFSET_STRENGTH = 100.0
CUT_STRENGTH = 100.0


def calibrate_learner(learner: Learner, samples: Samples) -> Calibration:
    """Calibrates a learner on samples that it has scored.

    Raises:
        UserError: as ``fit_calibration``.
    """
    return fit_calibration(
        samples.scores,
        samples.targets,
        learner.classnames,
        source=samples.source,
        method=learner.name,
        fingerprint=learner.backbone.fingerprint(),
    )


def fit_calibration(
    scores: Reals, targets: Ints, classnames: Sequence[str], *, source: str, method: str, fingerprint: str
) -> Calibration:
    """Fits slope and offsets, then thresholds that give the highest F1.

    Args:
        scores: (N, C), the learner's ``logits_from`` of N samples.
        targets: (N, C) of 1 present, 0 absent, -1 unknown: left out.
        classnames: C names, at least three.
        source: what the samples are, for people.
        method: name of the learner.
        fingerprint: of its backbone.

    Raises:
        UserError: for too few classes, labels that are all alike, or scores that do not rise with the labels.
    """
    _check_samples(scores, targets, classnames)
    z = standardise(scores, scores, np.arange(len(classnames)))
    fit = fit_logistic(z, targets, OFFSET_STRENGTH)
    if fit.slope <= 0:
        raise UserError(
            f"the scores are no higher where a class is present (slope {fit.slope:.3g}): "
            "check that the labels belong to these samples and classes"
        )
    logits = fit.slope * z + (fit.offset + fit.offsets)
    common, cuts = f1_cuts(logits, targets, CUT_STRENGTH)
    thresholds = sigmoid(cuts)
    return Calibration(
        source=source,
        n_samples=len(scores),
        method=method,
        fingerprint=fingerprint,
        slope=fit.slope,
        offset=fit.offset,
        threshold=float(sigmoid(np.array(common))),
        classes=tuple(
            ClassCalibration(
                name=name,
                offset=float(fit.offsets[column]),
                threshold=float(thresholds[column]),
                n_present=int((targets[:, column] == 1).sum()),
                f1=_f1(logits[:, column] >= cuts[column], targets[:, column]),
            )
            for column, name in enumerate(classnames)
        ),
    )


def _f1(given: npt.NDArray[np.bool_], targets: Ints) -> float | None:
    present = targets == 1
    if not present.any():
        return None
    given = given & (targets != -1)
    return float(2 * (given & present).sum() / (given.sum() + present.sum()))


def _check_samples(scores: Reals, targets: Ints, classnames: Sequence[str]) -> None:
    if len(classnames) < MIN_CLASSES:
        raise UserError(
            f"a calibration needs at least {MIN_CLASSES} classes, of which each is measured against the others; "
            f"here {'is' if len(classnames) == 1 else 'are'} {len(classnames)}"
        )
    check_scores(scores, len(classnames), "classes")
    if targets.shape != scores.shape:
        raise UserError(f"scores {scores.shape} and labels {targets.shape} must have one shape, (samples, classes)")
    if wrong := sorted(set(np.unique(targets).tolist()) - {-1, 0, 1}):
        raise UserError(f"label {wrong[0]} is not one of 1 (present), 0 (absent), -1 (unknown)")
    for value, meaning in ((1, "present"), (0, "absent")):
        if not (targets == value).any():
            raise UserError(f"no sample has a class that is known to be {meaning}, so there is nothing to calibrate on")
