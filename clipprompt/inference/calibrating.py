"""Fits a calibration to scores with labels, of captions or of images alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from clipprompt.captions.synonyms import load_classes
from clipprompt.datasets._checks import plain_name
from clipprompt.errors import UserError
from clipprompt.inference._f1_cuts import f1_cuts
from clipprompt.inference._logistic import Ints, Reals, fit_logistic, sigmoid, standardise
from clipprompt.inference.calibration import MIN_REFERENCE, Calibration, ClassCalibration, check_scores, places

if TYPE_CHECKING:
    from clipprompt.inference._samples import Samples
    from clipprompt.learners import Learner

CUT_STRENGTH = 100.0
"""Examples that the common threshold is worth against a class's own; chosen on the mini scenes' split "val"."""

REFERENCE = "coco2014"
"""The class list that the reference list is filled up with."""


def reference_names(learner: Learner, names: Sequence[str]) -> tuple[str, ...]:
    """Chooses the reference list, and gives it to the learner as its class names.

    It is ``names`` and the 80 everyday things of COCO: with a handful of classes of its own, a picture that shows none
    of them would still have a best one far above the others. Class-specific contexts serve their own classes alone.

    Args:
        learner: gets the reference list as its classes.
        names: C classes to be calibrated; they come first.

    Raises:
        UserError: if the learner cannot be used with these names, or its scores depend on the list of classes.
    """
    if getattr(learner.options, "centre", False):
        raise UserError("with centre=True all scores change with the class list, so no calibration holds for another")
    known = {plain_name(name) for name in names}
    others = [name for name in load_classes(REFERENCE).classnames if plain_name(name) not in known]
    try:
        learner.set_classes([*names, *others])
    except UserError:
        learner.set_classes(names)
    return learner.classnames


def calibrate_learner(learner: Learner, classnames: Sequence[str], samples: Samples) -> Calibration:
    """Calibrates a learner on samples that it has scored for ``reference_names``.

    Raises:
        UserError: as ``fit_calibration``.
    """
    return fit_calibration(
        samples.scores,
        samples.targets,
        learner.classnames,
        classnames,
        source=samples.source,
        method=learner.name,
        fingerprint=learner.backbone.fingerprint(),
    )


def fit_calibration(
    scores: Reals,
    targets: Ints,
    reference: Sequence[str],
    classnames: Sequence[str],
    *,
    source: str,
    method: str,
    fingerprint: str,
) -> Calibration:
    """Fits the curve, then thresholds that give the highest F1.

    Args:
        scores: (N, R), the learner's ``logits_from`` of N samples for the reference list.
        targets: (N, C) of 1 present, 0 absent, -1 unknown: left out.
        reference: R names, at least three.
        classnames: C names, all of them among ``reference``.
        source: what the samples are, for people.
        method: name of the learner.
        fingerprint: of its backbone.

    Raises:
        UserError: for too short a list, labels that are all alike, or scores that do not rise with the labels.
    """
    own = places(classnames, reference)
    _check_samples(scores, targets, reference, classnames, own)
    z = standardise(scores[:, own], scores, own)
    known = targets != -1
    fit = fit_logistic(z[known], targets[known] == 1)
    if fit.slope <= 0:
        raise UserError(
            f"the scores are no higher where a class is present (slope {fit.slope:.3g}): "
            "check that the labels belong to these samples and classes"
        )
    logits = fit.slope * z + fit.offset
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
        reference=tuple(reference),
        classes=tuple(
            ClassCalibration(
                name=name,
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


def _check_samples(
    scores: Reals, targets: Ints, reference: Sequence[str], classnames: Sequence[str], own: Ints
) -> None:
    if len(reference) < MIN_REFERENCE:
        raise UserError(
            f"a calibration needs at least {MIN_REFERENCE} classes to measure each against the others, "
            f"and this prompt serves its {len(reference)} alone; train it with class_specific=false"
        )
    if (own < 0).any():
        raise UserError(f"class {classnames[int(np.argmax(own < 0))]!r} is not in the reference list")
    check_scores(scores, len(reference), "reference classes")
    if targets.shape != (len(scores), len(own)):
        raise UserError(f"labels {targets.shape} do not fit {len(scores)} samples and {len(own)} classes")
    if wrong := sorted(set(np.unique(targets).tolist()) - {-1, 0, 1}):
        raise UserError(f"label {wrong[0]} is not one of 1 (present), 0 (absent), -1 (unknown)")
    for value, meaning in ((1, "present"), (0, "absent")):
        if not (targets == value).any():
            raise UserError(f"no sample has a class that is known to be {meaning}, so there is nothing to calibrate on")
