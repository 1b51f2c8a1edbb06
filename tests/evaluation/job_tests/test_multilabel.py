"""Tests of jobs with several classes a picture, on noise pictures whose table says which are for what."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from clipprompt.backbone import Backbone
from clipprompt.datasets import load_labels
from clipprompt.errors import UserError
from clipprompt.evaluation.ensembles.weights import Ensemble, given_ensemble
from clipprompt.evaluation.job_tests._facts import describe_options
from clipprompt.evaluation.job_tests.ensemble import ensemble_record, evaluate_ensemble_tests
from clipprompt.evaluation.job_tests.multilabel import evaluate_multilabel_tests, load_tested, score_tested
from clipprompt.evaluation.job_tests.multilabel_records import MultiLabelTestRecord
from clipprompt.evaluation.job_tests.one_pass import Evaluation
from clipprompt.evaluation.metrics import average_precision
from clipprompt.evaluation.multilabel import Row, evaluate_multilabel
from clipprompt.evaluation.protocols.jobs import Job
from clipprompt.evaluation.protocols.planning import load_protocol, plan_jobs
from clipprompt.evaluation.records import read_records
from clipprompt.learners import Learner, create_learner, with_classes
from tests.cli.test_train import run

CLASSES = ("cat", "dog", "red bus", "tree")
LABELS = {
    "train": ["cat", "dog", "cat|dog", "red bus", "tree|dog", "cat|tree"],
    "val": ["cat", "red bus|dog"],
    "test": ["cat", "dog|tree", "cat|red bus", "cat|dog", "tree|red bus", "dog", "cat|dog"],
}
METHODS = ("zero_shot", "coop", "dualcoop", "caption_dual", "tai_dpt")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """photos.csv beside its pictures."""
    folder, rng, lines = tmp_path_factory.mktemp("photos"), np.random.default_rng(1), ["path,labels,split"]
    for split, labels in LABELS.items():
        for number, label in enumerate(labels):
            noise = rng.integers(0, 255, (5 + number, 9 - number, 3), dtype=np.uint8)
            Image.fromarray(noise).resize((150, 130)).save(folder / f"{split}{number}.png")
            lines.append(f"{split}{number}.png,{label},{split}")
    (folder / "photos.csv").write_text("\n".join(lines) + "\n")
    return folder / "photos.csv"


def _jobs(photos: Path, methods: str, protocol: str = "partial-label", **more: Any) -> list[Job]:
    axes = {"seeds": [1]} | ({"known": [0.5]} if protocol == "partial-label" else {}) | more
    corpus = "mini" if "tai_dpt" in methods else None
    return plan_jobs(load_protocol(protocol), methods.split(","), [str(photos)], corpus=corpus, **axes)


def _learner(job: Job, backbone: Backbone, classnames: Sequence[str] = CLASSES) -> Learner:
    few = {"n_ctx": 2} if job.learns else {}
    specific = {"class_specific": False} if job.method in ("dualcoop", "caption_dual") else {}
    return create_learner(job.method, backbone, classnames, seed=3, **few, **specific)


def _evaluate(job: Job, backbone: Backbone, **how: Any) -> list[MultiLabelTestRecord]:
    return list(evaluate_multilabel_tests(_learner(job, backbone), job, job.config(), Evaluation(**how)))


@pytest.mark.parametrize("method", METHODS)
def test_numbers_are_those_of_eval_multilabel(method: str, photos: Path, backbone: Backbone) -> None:
    (job,) = _jobs(photos, method)
    (record,) = _evaluate(job, backbone)
    learner = with_classes(_learner(job, backbone), CLASSES)
    (other,) = evaluate_multilabel([Row(learner)], load_labels(photos, split="test"), branches=[learner.branch])
    for key in ("average_precision", "at_top3", "at_threshold", "calibration_error", "n_positive", "classnames"):
        assert record[key] == other[key], key  # type: ignore[literal-required]
    assert record["mean_average_precision"] == other["mean_average_precision"] > 0
    assert (record["branch"], record["split_hash"]) == (other["branch"], other["split_hash"])


def test_the_command_prints_the_same_numbers(
    photos: Path, backbone: Backbone, tiny_folder: Path, tmp_path: Path
) -> None:
    (job,) = _jobs(photos, "dualcoop")
    (record,) = _evaluate(job, backbone)
    _learner(job, backbone).save(tmp_path / "prompt")
    request = ["--prompts", str(tmp_path / "prompt"), "--backbone", str(tiny_folder), "--branch", "local", "--no-cache"]
    code, _, err = run("eval", "multilabel", "-d", f"{photos}:test", *request, "-o", str(tmp_path / "records.jsonl"))
    assert code == 0, err
    (printed,) = [one for one in read_records(tmp_path / "records.jsonl") if one["method"] == "dualcoop"]
    assert printed["average_precision"] == record["average_precision"]
    assert printed["mean_average_precision"] == record["mean_average_precision"]


def test_a_record_says_what_was_learnt_and_what_tested(photos: Path, backbone: Backbone) -> None:
    zero_shot, dualcoop, tai_dpt = (
        record for job in _jobs(photos, "zero_shot,dualcoop,tai_dpt") for record in _evaluate(job, backbone)
    )
    for record in (zero_shot, dualcoop, tai_dpt):
        assert set(json.loads(json.dumps(record))) == set(get_type_hints(MultiLabelTestRecord))
        assert (record["dataset"], record["part"], record["n_images"]) == ("photos", "test", 7)
        assert record["dataset_options"] == {"split": "test"}
        assert (record["members"], record["weights"], record["weights_by"]) == ([], [], None)
    keys = ("learns_from", "corpus", "known", "trained_on", "seed", "selection")
    held = "val_map on 10% held out of the training pictures"
    assert [[record[key] for key in keys] for record in (zero_shot, dualcoop, tai_dpt)] == [  # type: ignore[literal-required]
        ["nothing", None, None, None, None, "none"],
        ["images", None, 0.5, "photos", 1, held],
        ["captions", "mini", None, None, 1, "last"],
    ]
    assert [record["draw_hash"] is None for record in (zero_shot, dualcoop, tai_dpt)] == [True, False, True]
    assert dualcoop["options"]["train.epochs"] == 50


def test_settings_of_what_is_learnt_from_are_options(backbone: Backbone) -> None:
    given, axes = ["data.n_images=60", "data.n_captions=70", "data.keep_empty=true"], {"seeds": [1], "known": [0.5]}
    jobs = plan_jobs(load_protocol("partial-label"), ["dualcoop", "tai_dpt"], ["mini"], settings=given, **axes)
    pictures, captions = (describe_options(_learner(job, backbone), job, job.config()) for job in jobs)
    assert (pictures["data.n_images"], pictures["data.keep_empty"], pictures["data.labels"]) == (60, True, None)
    assert (captions["data.n_captions"], captions["data.keep_empty"]) == (70, True)
    assert not {"data.n_captions", "data.templates"} & set(pictures)
    assert not {"data.n_images", "data.labels"} & set(captions)


def test_what_is_drawn_has_a_hash_of_its_own(photos: Path, backbone: Backbone) -> None:
    jobs = _jobs(photos, "dualcoop,caption_dual", seeds=[1, 2], known=[0.5, 0.9, "single-positive"])
    found = {(job.method, job.known, job.seed): _evaluate(job, backbone)[0]["draw_hash"] for job in jobs}
    assert len(set(found.values())) == len(found) / 2  # the same for both methods
    few = _jobs(photos, "dualcoop", "few-shot-multilabel", shots=[1])
    assert _evaluate(few[0], backbone)[0]["selection"] == "val_map on others of the training pictures"


def test_unseen_classes_are_told_apart_among_themselves_and_among_all(photos: Path, backbone: Backbone) -> None:
    job = _jobs(photos, "dualcoop", "multilabel-zero-shot")[0]
    novel, whole = _evaluate(job, backbone)
    assert (novel["tested_subset"], novel["classnames"]) == ("novel", ["red bus", "tree"])
    assert (novel["n_images"], novel["dataset_options"]["pictures"]) == (3, "with one of the classes")
    assert (whole["tested_subset"], whole["classnames"], whole["n_images"]) == ("all", list(CLASSES), 7)
    assert novel["subset"] == whole["subset"] == "base"
    learner = with_classes(_learner(job, backbone), ["red bus", "tree"])
    restricted = load_tested(job, job.tests[0], None).images
    (other,) = evaluate_multilabel([Row(learner)], restricted, branches=["local"])
    assert novel["average_precision"] == other["average_precision"]


def test_class_splits_of_what_learns_nothing_are_those_of_what_learns(photos: Path, backbone: Backbone) -> None:
    for job in _jobs(photos, "zero_shot,dualcoop", "multilabel-zero-shot", class_splits=[1]):
        assert [record["classnames"] for record in _evaluate(job, backbone)] == [
            [name for name in CLASSES if name in load_tested(job, test, None).images.classnames] for test in job.tests
        ]


def test_the_tower_sees_a_part_once_for_all_that_is_tested_of_it(
    photos: Path, backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = list[int]()
    trunk = type(backbone.vision).trunk

    def count(self: Any, images: Tensor, *rest: Any) -> Any:
        seen.append(len(images))
        return trunk(self, images, *rest)

    monkeypatch.setattr(type(backbone.vision), "trunk", count)
    places = (False, True)
    for methods, protocol in (("zero_shot,dualcoop,tai_dpt", "partial-label"), ("dualcoop", "multilabel-zero-shot")):
        for job in _jobs(photos, methods, protocol):
            assert all(record["cached"] for record in _evaluate(job, backbone, cache=tmp_path, places=places))
    assert sum(seen) == len(LABELS["test"])


def test_settings_are_chosen_on_the_part_val(photos: Path, backbone: Backbone) -> None:
    (job,) = _jobs(photos, "zero_shot", part="val")
    (record,) = _evaluate(job, backbone)
    assert (record["part"], record["n_images"], record["dataset_options"]) == ("val", 2, {"split": "val"})


def test_what_is_learnt_from_is_not_tested(photos: Path, backbone: Backbone, tmp_path: Path) -> None:
    lines = ["path,labels", *(f"{photos.parent}/train{n}.png,{label}" for n, label in enumerate(LABELS["train"]))]
    (tmp_path / "tests.csv").write_text("\n".join(lines) + "\n")
    (job,) = _jobs(tmp_path / "tests.csv", "dualcoop", source=str(photos))
    with pytest.raises(UserError, match="6 pictures of tests are learnt from too; test on others"):
        _evaluate(job, backbone)


def test_contexts_of_single_classes_serve_no_other(photos: Path, backbone: Backbone) -> None:
    (job,) = _jobs(photos, "dualcoop")
    learner = create_learner("dualcoop", backbone, ["cat", "dog"], seed=3, n_ctx=2, class_specific=True)
    with pytest.raises(UserError, match="class"):
        list(evaluate_multilabel_tests(learner, job, job.config()))


def test_predictions_say_what_each_class_of_a_picture_was_given(
    photos: Path, backbone: Backbone, tmp_path: Path
) -> None:
    (job,) = _jobs(photos, "dualcoop")
    path = tmp_path / "predictions.jsonl"
    (record,) = _evaluate(job, backbone, predictions=path)
    lines = read_records(path)
    assert [line["path"] for line in lines] == [f"test{number}.png" for number in range(7)]
    assert [line["present"] for line in lines] == [sorted(label.split("|")) for label in LABELS["test"]]
    assert all(Path(line["file"]).is_file() and line["unknown"] == [] for line in lines)
    scores = np.array([list(line["probabilities"].values()) for line in lines])
    targets = load_labels(photos, split="test").targets
    assert average_precision(scores, targets).mean == pytest.approx(record["mean_average_precision"])


def test_pictures_that_cannot_be_read_are_left_out_and_told(photos: Path, backbone: Backbone, tmp_path: Path) -> None:
    for file in photos.parent.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "test6.png").write_bytes(b"no picture")
    said = list[str]()
    (record,) = _evaluate(_jobs(tmp_path / "photos.csv", "zero_shot")[0], backbone, say=said.append)
    assert (record["n_images"], record["n_skipped"]) == (6, 1)
    assert any("test6.png" in line for line in said)


def _ensemble(photos: Path, backbone: Backbone, ensemble: Ensemble, **more: Any) -> tuple[Any, ...]:
    *alone, job = _jobs(photos, "dualcoop+tai_dpt", **more)
    learners = {one.name: _learner(one, backbone) for one in alone}
    records = {one.name: _evaluate(one, backbone) for one in alone}
    return job, learners, records, list(evaluate_ensemble_tests(job, learners, records, ensemble))


def test_an_ensemble_is_measured_on_what_its_members_say(photos: Path, backbone: Backbone) -> None:
    ensemble = Ensemble((0.25, 0.75), "best mAP on other pictures", ((-3.0, 3.0), (-20.0, 20.0)))
    job, learners, records, (record,) = _ensemble(photos, backbone, ensemble)
    scored, _ = score_tested(learners, load_tested(job, job.tests[0], None))
    matrices = [scored.by_key[name][learner.branch] for name, learner in learners.items()]
    by_hand = 0.25 * (matrices[0] + 3) / 6 + 0.75 * (matrices[1] + 20) / 40
    targets = load_labels(photos, split="test").targets
    assert record["mean_average_precision"] == pytest.approx(average_precision(by_hand, targets).mean, abs=1e-9)
    assert set(json.loads(json.dumps(record))) == set(get_type_hints(MultiLabelTestRecord))
    (dualcoop,), (tai_dpt,) = records.values()
    assert (record["method"], record["members"]) == ("dualcoop+tai_dpt", ["dualcoop", "tai_dpt"])
    assert (record["weights"], record["weights_by"]) == ([0.25, 0.75], "best mAP on other pictures")
    assert (record["branch"], record["setting"], record["probabilities"]) == ("ensemble", "inductive", None)
    assert (record["learns_from"], record["known"], record["corpus"], record["seed"]) == ("both", 0.5, "mini", 1)
    assert (record["trained_on"], record["draw_hash"]) == ("photos", dualcoop["draw_hash"])
    assert record["options"]["dualcoop: learner.n_ctx"] == dualcoop["options"]["learner.n_ctx"]
    assert record["options"]["tai_dpt: train.lr"] == tai_dpt["options"]["train.lr"]


def test_scores_that_are_scaled_by_themselves_make_an_ensemble_transductive(photos: Path, backbone: Backbone) -> None:
    *_, (record,) = _ensemble(photos, backbone, given_ensemble([0.9, 0.1], 2))
    assert (record["setting"], record["weights"]) == ("transductive", [0.9, 0.1])


def test_an_ensemble_of_one_member_that_counts_is_that_member(photos: Path, backbone: Backbone) -> None:
    _, _, records, (record,) = _ensemble(photos, backbone, given_ensemble([0.0, 1.0], 2))
    (tai_dpt,) = list(records.values())[1]
    assert record["average_precision"] == pytest.approx(tai_dpt["average_precision"])


def test_members_that_were_tested_on_other_pictures_make_no_ensemble(photos: Path, backbone: Backbone) -> None:
    ensemble = given_ensemble(None, 2)
    job, learners, records, _ = _ensemble(photos, backbone, ensemble)
    name = job.members[0]
    other: Any = {**records, name: [{**records[name][0], "split_hash": "another"}]}
    with pytest.raises(UserError, match=f"{name} was tested on other pictures of .*; remove its folder"):
        list(evaluate_ensemble_tests(job, learners, other, ensemble))
    with pytest.raises(UserError, match=f"{name} was not tested on all classes of .*; run its job again"):
        list(evaluate_ensemble_tests(job, learners, {**records, name: []}, ensemble))


def test_an_ensembles_training_takes_as_long_as_its_members(photos: Path, backbone: Backbone) -> None:
    job, _, records, (record,) = _ensemble(photos, backbone, given_ensemble(None, 2))
    assert record["train_seconds"] is None
    members: Any = [
        {**one[0], "train_seconds": seconds} for one, seconds in zip(records.values(), (2.5, 1.25), strict=True)
    ]
    numbers: Any = {"mean_average_precision": 0.5}
    assert ensemble_record(job, members, numbers, given_ensemble(None, 2), 1.0)["train_seconds"] == 3.75
