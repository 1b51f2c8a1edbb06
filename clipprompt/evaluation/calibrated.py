"""Calibrated probabilities of the images of a set, for a prompt folder that has a calibration.

A calibration compares a sample's score with its scores for a list of reference classes, usually those the prompt was
trained on. When the set has all of them they are there already; otherwise the images are scored for them as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from clipprompt.datasets._checks import plain_name
from clipprompt.evaluation.metrics import ScoreMatrix
from clipprompt.evaluation.scoring import score_images
from clipprompt.inference.calibration import read_calibration
from clipprompt.learners import Learner, load_learner

if TYPE_CHECKING:
    from clipprompt.datasets import MultiLabelImages


def calibrated_probabilities(
    learner: Learner,
    source: str | None,
    by_branch: Mapping[str, ScoreMatrix],
    dataset: MultiLabelImages,
    **how: Any,
) -> dict[str, ScoreMatrix]:
    """Probabilities (N, C) in 0..1 by branch: of the learner's own logits, where there is a calibration.

    Args:
        learner: of the scores.
        source: its prompt folder; without one there is no calibration.
        by_branch: its scores of the images.
        dataset: the images that were scored.
        how: arguments of :func:`score_images`, for reference classes that the set does not have.

    Raises:
        UserError: for a broken calibration, or one of another prompt.
    """
    calibration = None if source is None else read_calibration(source)
    branch = learner.branch  # calibrations are of the learner's own logits
    if calibration is None or source is None or branch not in by_branch:
        return {}
    reference = _columns(calibration.reference, learner, by_branch[branch])
    if reference is None:
        other = load_learner(source, learner.backbone, calibration.reference)
        empty = np.zeros((len(dataset), len(calibration.reference)), dtype=np.int8)
        asked = replace(dataset, classnames=calibration.reference, targets=empty)
        reference = score_images({"": other}, asked, **how).by_key[""][branch]
    return {branch: calibration.probabilities(by_branch[branch], reference, learner.classnames)}


def _columns(reference: tuple[str, ...], learner: Learner, scores: ScoreMatrix) -> ScoreMatrix | None:
    """The scores for the reference classes, if the learner's own classes hold them all."""
    place = {plain_name(name): column for column, name in enumerate(learner.classnames)}
    columns = [place.get(plain_name(name)) for name in reference]
    found = [column for column in columns if column is not None]
    return scores[:, found] if len(found) == len(columns) else None
