from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clipprompt.errors import UserError
from clipprompt.evaluation.calibration_error import calibration_error
from clipprompt.evaluation.evaluate import evaluate_scores
from clipprompt.evaluation.f1 import f1
from clipprompt.evaluation.metrics import average_precision
from clipprompt.evaluation.normalise import normalise
from clipprompt.evaluation.saved import evaluate_files
from clipprompt.evaluation.scores import Scores, write_scores


def draw(seed: int, **header: Any) -> Scores:
    rng = np.random.default_rng(seed)
    targets = np.random.default_rng(0).choice([1, 0, -1], size=(30, 4)).astype(np.int8)
    branches = {name: rng.normal(size=(30, 4)).astype(np.float32) for name in ("global", "local")}
    return Scores(branches, targets, tuple("abcd"), (), header)


SCORES = draw(1, scores="logits", method="tai_dpt", variant="mine", source="runs/x", dataset="photos")


def test_all_numbers_are_of_the_same_scores() -> None:
    result = evaluate_scores([SCORES], branch="local", threshold=0.6)
    logits = SCORES.by_branch["local"].astype(np.float64)
    probabilities = 1 / (1 + np.exp(-logits))
    assert result["mean_average_precision"] == average_precision(logits, SCORES.targets).mean
    assert result["at_threshold"] == f1(probabilities >= 0.6, SCORES.targets)
    assert result["calibration_error"] == pytest.approx(calibration_error(probabilities, SCORES.targets))
    assert (result["branch"], result["probabilities"], result["threshold"]) == ("local", "sigmoid", 0.6)
    assert result["n_positive"] == (SCORES.targets == 1).sum(axis=0).tolist()
    assert (result["merge"], result["normalise"], result["transductive"]) == (None, "none", False)


def test_weight_of_a_merge_made_here_is_recorded() -> None:
    assert evaluate_scores([SCORES])["merge"] == 0.5
    assert evaluate_scores([SCORES], merge=0.25)["merge"] == 0.25


def test_calibrated_probabilities_are_taken_for_their_branch_alone() -> None:
    certain = np.where(SCORES.targets == 1, 1.0, 0.0)
    calibrated = replace(SCORES, probabilities={"global": certain})
    result = evaluate_scores([calibrated], branch="global")
    assert (result["probabilities"], result["calibration_error"]) == ("calibrated", 0.0)
    assert result["at_threshold"] == f1(certain == 1, SCORES.targets)
    assert evaluate_scores([calibrated], branch="local")["probabilities"] == "sigmoid"


@pytest.mark.parametrize(("header", "kind"), [({}, "given"), ({"scores": "logits"}, "sigmoid")])
def test_plain_scores_in_0_to_1_are_probabilities_unless_said_to_be_logits(header: dict[str, str], kind: str) -> None:
    plain = Scores({"merged": np.random.default_rng(0).random((30, 4))}, SCORES.targets, header=header)
    assert evaluate_scores([plain])["probabilities"] == kind


@pytest.mark.parametrize(("how", "transductive"), [("image", False), ("prompt", True), ("both", True)])
def test_normalised_scores_are_no_probabilities(how: str, transductive: bool) -> None:
    result = evaluate_scores([SCORES], branch="global", how=how)
    expected = average_precision(normalise(SCORES.by_branch["global"], how), SCORES.targets)
    assert result["mean_average_precision"] == expected.mean
    assert (result["at_threshold"], result["calibration_error"], result["probabilities"]) == (None, None, None)
    assert result["transductive"] == transductive
    assert result["at_top3"]["OF1"] > 0


def test_files_are_normalised_before_they_meet() -> None:
    other = draw(2)
    stretched = replace(other, by_branch={name: 50 * matrix + 9 for name, matrix in other.by_branch.items()})
    plain = evaluate_scores([SCORES, other], how="image", weights=[1, 3])
    assert evaluate_scores([SCORES, stretched], how="image", weights=[1, 3])["average_precision"] == pytest.approx(
        plain["average_precision"]
    )
    assert plain["transductive"]


@pytest.mark.parametrize(("weights", "place"), [([1, 0], 0), ([0, 1], 1)])
def test_weight_0_leaves_a_file_out(weights: list[float], place: int) -> None:
    both = [SCORES, draw(2)]
    result = evaluate_scores(both, branch="global", weights=weights)
    assert result["average_precision"] == evaluate_scores([both[place]], branch="global")["average_precision"]


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan")])
def test_threshold_outside_0_to_1_is_refused(threshold: float) -> None:
    with pytest.raises(UserError, match=r"--threshold .* lies in 0..1"):
        evaluate_scores([SCORES], threshold=threshold)


def write(folder: Path, **scores: Scores) -> list[Path]:
    for name, value in scores.items():
        write_scores(folder / f"{name}.npz", value)
    return [folder / f"{name}.npz" for name in scores]


def test_every_file_has_a_record_and_their_ensemble_comes_last(tmp_path: Path) -> None:
    paths = write(tmp_path, a=SCORES, b=draw(2, method="zero_shot", variant="", dataset="photos"))
    records = evaluate_files(paths, branch="global", weights=[1, 3])
    assert [record["row"] for record in records] == [
        f"{paths[0]}: TaI, mine",
        f"{paths[1]}: zero-shot CLIP",
        "ensemble (0.25, 0.75)",
    ]
    assert [record["method"] for record in records] == ["tai_dpt", "zero_shot", None]
    assert [(file["path"], file["weight"]) for file in records[2]["files"]] == [(str(paths[0]), 1), (str(paths[1]), 3)]
    assert records[2]["files"][0]["header"]["source"] == "runs/x"
    assert (records[2]["dataset"], records[2]["n_images"]) == ("photos", 30)


def test_classes_without_names_are_numbered(tmp_path: Path) -> None:
    (path,) = write(tmp_path, a=replace(SCORES, classnames=(), header={}))
    (record,) = evaluate_files([path])
    assert (record["classnames"], record["class_hash"]) == (["1", "2", "3", "4"], None)
    assert record["row"] == f"{path}: merged"


def test_names_of_one_file_serve_all(tmp_path: Path) -> None:
    records = evaluate_files(write(tmp_path, a=replace(SCORES, classnames=()), b=SCORES))
    assert len({record["class_hash"] for record in records}) == 1
    assert records[0]["classnames"] == list("abcd")


def test_mistake_names_its_file(tmp_path: Path) -> None:
    none = replace(SCORES, targets=np.minimum(SCORES.targets, 0))
    with pytest.raises(UserError, match=r"a\.npz: no class has a positive image"):
        evaluate_files(write(tmp_path, a=none))
