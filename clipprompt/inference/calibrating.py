"""Fits a calibration to scores with labels, of captions or of images alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from clipprompt.captions.synonyms import load_classes
from clipprompt.datasets._checks import plain_name
from clipprompt.errors import UserError
from clipprompt.inference._certain import certain_cuts
from clipprompt.inference._f1_cuts import f1_cuts
from clipprompt.inference._logistic import Floats, Ints, Logistic, Reals, fit_logistic, sigmoid, standardise
from clipprompt.inference.calibration import MIN_REFERENCE, Calibration, ClassCalibration, check_scores, places
from clipprompt.learners import HeadLearner

if TYPE_CHECKING:
    from clipprompt.inference._samples import Samples
    from clipprompt.learners import Learner

CUT_STRENGTH = 100.0
"""Examples that the common threshold is worth against a class's own; chosen on the mini scenes' split "val"."""

CERTAIN_STRENGTH = 20.0
"""Labels that a share is worth which others are drawn towards, where answers are certain; chosen as that."""

CERTAINTY = 0.9
"""The share of right answers from which they count as certain, unless another one is asked for."""

REFERENCE = "coco2014"
"""The class list that the reference list is filled up with."""


def reference_names(learner: Learner, names: Sequence[str]) -> tuple[str, ...]:
    """Chooses the reference list, and gives it to the learner as its class names.

    It is ``names`` and the 80 everyday things of COCO: with a handful of classes of its own, a picture that shows none
    of them would still have a best one far above the others. Class-specific contexts and heads serve their own classes
    alone; of a head it is all of them.

    Args:
        learner: gets the reference list as its classes.
        names: C classes to be calibrated; they come first.

    Raises:
        UserError: if the learner cannot be used with these names, or its scores depend on the list of classes.
    """
    if getattr(learner.options, "centre", False):
        raise UserError("with centre=True all scores change with the class list, so no calibration holds for another")
    known = {plain_name(name) for name in names}
    more = learner.trained_classes if isinstance(learner, HeadLearner) else load_classes(REFERENCE).classnames
    others = [name for name in more if plain_name(name) not in known]
    try:
        learner.set_classes([*names, *others])
    except UserError:
        learner.set_classes(names)
    return learner.classnames


def calibrate_learner(
    learner: Learner, classnames: Sequence[str], samples: Samples, certainty: float = CERTAINTY
) -> Calibration:
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
        certainty=certainty,
    )


def check_certainty(certainty: float) -> None:
    """Checks a share of right answers.

    Raises:
        UserError: if it is below one half, or leaves no room for a mistake.
    """
    if not 0.5 <= certainty < 1:
        raise UserError(f"certainty {certainty:g}: the share of right answers lies between 0.5 and 1, such as 0.9")


def fit_calibration(
    scores: Reals,
    targets: Ints,
    reference: Sequence[str],
    classnames: Sequence[str],
    *,
    source: str,
    method: str,
    fingerprint: str,
    certainty: float = CERTAINTY,
) -> Calibration:
    """Fits the curve, then thresholds that give the highest F1, and around them the band of what is uncertain.

    Args:
        scores: (N, R), the learner's ``logits_from`` of N samples for the reference list.
        targets: (N, C) of 1 present, 0 absent, -1 unknown: left out.
        reference: R names, at least three.
        classnames: C names, all of them among ``reference``.
        source: what the samples are, for people.
        method: name of the learner.
        fingerprint: of its backbone.
        certainty: share of the labels answered "yes" that are right, and of the present ones not answered "no".

    Raises:
        UserError: for too short a list, labels that are all alike, scores that do not rise with the labels, or a
            certainty outside 0.5 to 1.
    """
    check_certainty(certainty)
    own = places(classnames, reference)
    _check_samples(scores, targets, reference, classnames, own)
    z = standardise(scores[:, own], scores, own)
    fit = fit_curve(z, targets)
    logits = fit.slope * z + fit.offset
    common, cuts = f1_cuts(logits, targets, CUT_STRENGTH)
    shared, certain = certain_cuts(logits, targets, (common, cuts), certainty, CERTAIN_STRENGTH)
    return Calibration(
        source=source,
        n_samples=len(scores),
        method=method,
        fingerprint=fingerprint,
        slope=fit.slope,
        offset=fit.offset,
        certainty=certainty,
        threshold=_probability(common),
        certain_below=_probability(shared.lower),
        certain_from=_probability(shared.upper),
        reference=tuple(reference),
        classes=tuple(
            ClassCalibration(
                name=name,
                threshold=_probability(cuts[column]),
                certain_below=_probability(certain.lower[column]),
                certain_from=_probability(certain.upper[column]),
                n_present=int((targets[:, column] == 1).sum()),
                n_absent=int((targets[:, column] == 0).sum()),
                f1=_f1(logits[:, column] >= cuts[column], targets[:, column]),
            )
            for column, name in enumerate(classnames)
        ),
    )


def fit_curve(z: Floats, targets: Ints) -> Logistic:
    """The curve of all known pairs.

    Args:
        z: (N, C) standardised scores.
        targets: (N, C) of 1 present, 0 absent, -1 unknown; a 1 and a 0 occur.

    Raises:
        UserError: if it falls.
    """
    known = targets != -1
    fit = fit_logistic(z[known], targets[known] == 1)
    if fit.slope <= 0:
        raise UserError(
            f"the scores are no higher where a class is present (slope {fit.slope:.3g}): "
            "check that the labels belong to these samples and classes"
        )
    return fit


def _probability(cut: Floats | float) -> float:
    return float(sigmoid(np.asarray(cut)))


def _f1(given: npt.NDArray[np.bool_], targets: Ints) -> float | None:
    """None for a class that takes the shared threshold."""
    present = targets == 1
    if not present.any() or not (targets == 0).any():
        return None
    given = given & (targets != -1)
    return float(2 * (given & present).sum() / (given.sum() + present.sum()))


def _check_samples(
    scores: Reals, targets: Ints, reference: Sequence[str], classnames: Sequence[str], own: Ints
) -> None:
    if len(reference) < MIN_REFERENCE:
        raise UserError(
            f"a calibration needs at least {MIN_REFERENCE} classes to measure each against the others, and this prompt "
            f"serves its {len(reference)} alone; a context that classes share (class_specific=false) serves any"
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
