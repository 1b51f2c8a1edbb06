"""ImageNet as CLIP and CoOp name it, two names for four classes, from its folders to records, on a miniature."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from clipprompt.backbone import Backbone, load_backbone
from clipprompt.evaluation.accuracy import predictions
from clipprompt.evaluation.job_tests.one_class import Evaluation, evaluate_tests
from clipprompt.evaluation.protocols import planning as protocols
from clipprompt.evaluation.records import read_records
from clipprompt.learners import create_learner, load_learner
from clipprompt.learners.zero_shot import ZeroShot
from clipprompt.training.run import run_training
from tests.datasets.classification.miniatures import classnames_of, make_miniature

SECONDS = {"missile [n04008634]": "missile", "sunglasses [n04356056]": "sunglasses"}
TESTS = (
    protocols.Test("imagenet"),
    protocols.Test("imagenet", "novel"),
    protocols.Test("imagenet_v2"),
    protocols.Test("imagenet_r"),
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name in ("imagenet", "imagenet_v2", "imagenet_r"):
        make_miniature(name, folder, n_classes=8, per_class=6)
    return folder


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone("mini-vit", device="cpu")


def _job(method: str, *settings: str) -> protocols.Job:
    one_step = ("epochs=1", "batch_size=8", "views=1", "backbone.name=mini-vit")
    seed, shots = (None, None) if method == "zero_shot" else (1, 1)
    return protocols.Job(
        "domain", method, "imagenet", "all", shots, 0, seed, (*settings, *(one_step if seed else ())), TESTS
    )


@pytest.mark.parametrize("settings", [(), ("learner.n_ctx=2", "learner.class_specific=true")], ids=["one", "own"])
def test_training_and_testing_take_both_classes_of_a_name(
    root: Path, backbone: Backbone, tmp_path: Path, settings: tuple[str, ...]
) -> None:
    job = _job("coop", *settings)
    config = job.config(root)
    result = run_training(config, tmp_path / "run")
    assert result is not None
    assert result.steps == 1
    learner = load_learner(tmp_path / "run", backbone)
    assert list(learner.classnames) == classnames_of("imagenet", 8)
    records = list(evaluate_tests(learner, job, config, Evaluation(root, predictions=tmp_path / "predictions.jsonl")))
    assert [record["n_images"] for record in records] == [16, 8, 16, 16]
    assert records[0]["classnames"] == classnames_of("imagenet", 8)
    assert records[1]["classnames"] == classnames_of("imagenet", 8)[4:]
    predicted = {record["predicted"] for record in read_records(tmp_path / "predictions.jsonl")}
    assert settings or not predicted & set(SECONDS)


def test_a_tie_goes_to_the_first_whatever_rounding_makes_of_it(
    root: Path, backbone: Backbone, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As with CLIP's and CoOp's code, the second class of a name is never found."""

    def prefer_seconds(learner: ZeroShot) -> torch.Tensor:
        better = [1 + 1e-6 if name in SECONDS else 1 if name in SECONDS.values() else -1 for name in learner.classnames]
        return learner._text * torch.tensor(better)[:, None]  # all cosines were positive

    monkeypatch.setattr(ZeroShot, "_compute_text_features", prefer_seconds)
    job, path = _job("zero_shot"), tmp_path / "predictions.jsonl"
    learner = create_learner("zero_shot", backbone, ["anything"])
    for record in evaluate_tests(learner, job, job.config(root), Evaluation(root, predictions=path)):
        found = dict(zip(record["classnames"], record["per_class_accuracy"], strict=True))
        assert {found.get(name, 0.0) for name in SECONDS} == {0.0}
    assert {record["predicted"] for record in read_records(path)} <= set(SECONDS.values())


def test_predictions_fold_what_has_one_prompt(backbone: Backbone) -> None:
    learner = create_learner("coop", backbone, classnames_of("imagenet", 8))
    first = np.array(learner.first_of_same_prompt)
    scores = (first[:, None] == first).astype(np.float32)  # a picture of each class, with cosines 1 and 0
    scores[2, 3] += 1e-6  # another order of the same sums
    scores[6, 7] -= 1e-6
    assert predictions(scores, learner.first_of_same_prompt).tolist() == [0, 1, 2, 2, 4, 5, 6, 6]
    assert predictions(scores).tolist() == [0, 1, 3, 2, 4, 5, 6, 6]
