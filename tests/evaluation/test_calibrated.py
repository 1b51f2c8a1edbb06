from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clipprompt.backbone import Backbone
from clipprompt.datasets import MultiLabelImages
from clipprompt.errors import UserError
from clipprompt.evaluation.calibrated import calibrated_probabilities
from clipprompt.evaluation.multilabel import Row, evaluate_multilabel
from clipprompt.evaluation.scoring import score_images
from clipprompt.inference.calibration import Calibration, ClassCalibration, write_calibration
from clipprompt.learners import Learner, create_learner, load_learner
from tests.evaluation.conftest import CLASSES

OTHERS = ("dog", "chair", "street lamp", "boat")


def calibrate(folder: Path, reference: tuple[str, ...]) -> Calibration:
    known = (ClassCalibration(name=CLASSES[0], threshold=0.4, n_present=3, f1=0.5),)
    facts = {"source": "a test", "n_samples": 9, "method": "tai_dpt", "fingerprint": "f"}
    calibration = Calibration(
        format=1, **facts, slope=2.0, offset=-1.0, threshold=0.5, reference=reference, classes=known
    )
    write_calibration(folder, calibration)
    return calibration


@pytest.fixture
def learner(backbone: Backbone, tmp_path: Path) -> Learner:
    created = create_learner("tai_dpt", backbone, CLASSES, n_ctx=2, seed=1)
    created.save(tmp_path)
    return created


@pytest.mark.parametrize("reference", [OTHERS, CLASSES[::-1], (*OTHERS, CLASSES[1])])
def test_probabilities_are_the_calibrations(
    learner: Learner, pictures: MultiLabelImages, tmp_path: Path, reference: tuple[str, ...]
) -> None:
    calibration = calibrate(tmp_path, reference)
    scores = score_images({"": learner}, pictures).by_key[""]
    found = calibrated_probabilities(learner, str(tmp_path), scores, pictures)
    assert list(found) == ["merged"]
    other = load_learner(tmp_path, learner.backbone, reference)
    yardstick = np.stack([_logits(other, pictures, index) for index in range(len(pictures))])
    expected = calibration.probabilities(scores["merged"], yardstick, CLASSES)
    np.testing.assert_allclose(found["merged"], expected, atol=1e-5)


def _logits(learner: Learner, pictures: MultiLabelImages, index: int) -> np.ndarray:
    assert learner.backbone.preprocess is not None
    image = learner.backbone.preprocess(pictures[index])[None]
    logits: np.ndarray = learner.logits_from(learner.encode_images(image)).detach().numpy()[0]
    return logits


def test_records_say_which_branch_is_calibrated(learner: Learner, pictures: MultiLabelImages, tmp_path: Path) -> None:
    calibrate(tmp_path, OTHERS)
    rows = [Row(learner, source=str(tmp_path)), Row(learner)]
    kinds = [record["probabilities"] for record in evaluate_multilabel(rows, pictures)]
    assert kinds == ["sigmoid", "calibrated", "sigmoid", "sigmoid"]


def test_without_a_calibration_there_are_none(learner: Learner, pictures: MultiLabelImages, tmp_path: Path) -> None:
    scores = score_images({"": learner}, pictures).by_key[""]
    assert calibrated_probabilities(learner, str(tmp_path), scores, pictures) == {}
    assert calibrated_probabilities(learner, None, scores, pictures) == {}


def test_calibration_of_another_prompt_is_refused(
    learner: Learner, backbone: Backbone, pictures: MultiLabelImages, tmp_path: Path
) -> None:
    calibrate(tmp_path, OTHERS)
    create_learner("tai_dpt", backbone, CLASSES, n_ctx=2, seed=2).save(tmp_path)
    with pytest.raises(UserError, match="was made for another prompt"):
        list(evaluate_multilabel([Row(learner, source=str(tmp_path))], pictures))


def test_the_branch_of_a_learner_is_that_of_the_learners_logits(backbone: Backbone, pictures: MultiLabelImages) -> None:
    for method in ("zero_shot", "tai_dpt"):
        learner = create_learner(method, backbone, CLASSES)
        scores = score_images({"": learner}, pictures).by_key[""][learner.branch]
        expected = np.stack([_logits(learner, pictures, index) for index in range(len(pictures))])
        np.testing.assert_allclose(scores, expected, atol=1e-4)
