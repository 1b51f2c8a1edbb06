"""Named sets with several classes a picture, as protocols learn and test them; miniatures in their official layouts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clipprompt.backbone import Backbone
from clipprompt.evaluation.job_tests.multilabel import evaluate_multilabel_tests
from clipprompt.evaluation.job_tests.multilabel_records import MultiLabelTestRecord
from clipprompt.evaluation.job_tests.one_pass import Evaluation
from clipprompt.evaluation.protocols.multilabel_sets import load_part, training_spec
from clipprompt.evaluation.protocols.planning import load_protocol, plan_jobs
from clipprompt.learners import create_learner
from tests.datasets.miniatures import make_coco, make_nuswide, make_voc

MAKE: dict[str, Any] = {
    "voc2007": lambda root: make_voc(root, {"train": 3, "val": 2, "test": 4}),
    "coco2014": lambda root: make_coco(root, splits={"train": 5, "val": 5}),
    "nuswide": lambda root: make_nuswide(root, {"train": 4, "test": 4}),
}


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folders = {name: tmp_path_factory.mktemp(name) for name in MAKE}
    for name, make in MAKE.items():
        make(folders[name])
    return folders


def _evaluate(
    protocol: str, method: str, dataset: str, root: Path, backbone: Backbone, **more: Any
) -> list[MultiLabelTestRecord]:
    axes = {"seeds": [1], "known": [0.5]} | more
    (job,) = plan_jobs(load_protocol(protocol), [method], [dataset], **axes)
    config = job.config(root)
    few = {"n_ctx": 2, "class_specific": False} if job.learns else {}
    learner = create_learner(method, backbone, ["one", "another"], seed=1, **few)
    return list(evaluate_multilabel_tests(learner, job, config, Evaluation(root=root)))


@pytest.mark.parametrize("name", MAKE)
def test_a_set_is_learnt_from_its_training_split_and_tested_on_that_of_papers(
    name: str, roots: dict[str, Path], backbone: Backbone
) -> None:
    (record,) = _evaluate("partial-label", "dualcoop", name, roots[name], backbone)
    assert (record["dataset"], record["trained_on"], record["part"]) == (name, name, "test")
    split, n_images, n_classes = {"voc2007": ("test", 4, 20), "coco2014": ("val", 5, 80), "nuswide": ("test", 4, 81)}[
        name
    ]
    assert (record["n_images"], len(record["classnames"])) == (n_images, n_classes)
    assert record["dataset_options"]["split"] == split
    assert record["dataset_options"]["official_size"].startswith("no, ")
    trained = {"voc2007": "voc2007:trainval", "coco2014": "coco2014:train", "nuswide": "nuswide:train"}[name]
    assert record["training"] is not None
    assert record["training"]["data"] == trained


def test_difficult_objects_of_voc_are_unknown_and_said_to_be(roots: dict[str, Path], backbone: Backbone) -> None:
    (record,) = _evaluate("partial-label", "zero_shot", "voc2007", roots["voc2007"], backbone)
    assert record["dataset_options"]["difficult"] == "unknown"
    assert (load_part("voc2007", "test", roots["voc2007"]).targets == -1).sum() == 1


def test_48_classes_of_coco_are_learnt_and_17_and_65_are_tested(roots: dict[str, Path], backbone: Backbone) -> None:
    records = _evaluate("multilabel-zero-shot", "dualcoop", "coco2014", roots["coco2014"], backbone)
    assert [(one["tested_subset"], len(one["classnames"])) for one in records] == [("novel", 17), ("all", 65)]
    novel, both = ({*one["classnames"]} for one in records)
    assert {"cat", "dog", "sink"} <= novel < both
    assert not {"stop sign", "pizza cutter"} & both
    whole = load_part("coco2014", "test", roots["coco2014"])
    for one in records:
        chosen = whole.with_classes(one["classnames"]).targets
        assert one["n_images"] == (chosen == 1).any(axis=1).sum() < len(whole)


@pytest.mark.parametrize(
    ("dataset", "part", "is_tested", "expected"),
    [
        ("voc2007", "test", True, "voc2007:trainval"),
        ("voc2007", "val", True, "voc2007:train"),
        ("coco2017", "test", True, "coco2017:train"),
        ("mini", "test", True, "mini:train"),
        ("/data/own.csv", "test", True, "/data/own.csv:train"),
        ("/data/own.csv", "test", False, "/data/own.csv"),
        ("/data/own.json", "test", False, "/data/own.json"),
    ],
)
def test_what_is_learnt_from(dataset: str, part: str, is_tested: bool, expected: str) -> None:
    assert training_spec(dataset, part, is_tested) == expected
