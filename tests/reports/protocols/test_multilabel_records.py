"""Records of several classes a picture from strangers: what is refused, and what files beside them are not read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from clipprompt.errors import UserError
from clipprompt.evaluation.job_tests.multilabel_records import MultiLabelTestRecord
from clipprompt.evaluation.job_tests.records import ProtocolRecord
from clipprompt.reports.protocols._validation import SEVERAL_CLASSES
from clipprompt.reports.protocols.gather import gather_records
from clipprompt.reports.protocols.summary import summarise_protocols
from tests.reports.multilabel_records import few_shot, partial, record, zero_shot_splits

F1 = {"CF1": 0.5, "OF1": 0.5}
ENSEMBLE = record("dualcoop+tai_dpt", known=0.1)


def write(folder: Path, *records: dict[str, Any]) -> Path:
    path = folder / "results.jsonl"
    path.write_text("".join(f"{json.dumps(one)}\n" for one in records))
    return path


def test_every_key_of_the_record_is_checked() -> None:
    assert set(SEVERAL_CLASSES) == set(get_type_hints(MultiLabelTestRecord)) - set(get_type_hints(ProtocolRecord))


def test_what_protocols_write_is_read(tmp_path: Path) -> None:
    records = [*partial(), *few_shot(), *zero_shot_splits(), *partial(shares=("single-positive", None))]
    assert gather_records([write(tmp_path, *records)]).records == records


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "mAP in percent": ({"mean_average_precision": 88.3}, "mean_average_precision is 88.3, but it should be less than"),
    "no mAP": ({"mean_average_precision": None}, "mean_average_precision is none"),
    "mAP that is another's": ({"mean_average_precision": 0.9}, "mean_average_precision is 0.9, but the mean of"),
    "lost class": ({"average_precision": [0.5, 0.5]}, "average_precision has 2 values for 3 classnames"),
    "no class": ({"average_precision": [None, None, None]}, "average_precision has no value"),
    "count of another set": ({"n_positive": [1]}, "n_positive has 1 values for 3 classnames"),
    "negative count": ({"n_positive": [1, -2, 3]}, "n_positive is -2, but it should be greater than or equal to 0"),
    "F1 that lacks one": ({"at_top3": {"CF1": 0.5}}, "at_top3"),
    "F1 in percent": ({"at_top3": {**F1, "OF1": 40.0}}, "at_top3 is 40.0, but it should be less than or equal to 1"),
    "unknown source": ({"learns_from": "text"}, "learns_from is 'text', but it should be 'images', 'captions', 'both'"),
    "captions without a corpus": (
        {"learns_from": "both"},
        "learns_from is 'both', but corpus is null",
    ),
    "pictures that were not learnt from": (
        {"learns_from": "captions", "corpus": "mini"},
        "learns_from is 'captions', but trained_on is 'voc2007'",
    ),
    "share in percent": ({"known": 10.0}, "known is 10.0, but it should be a share of the labels, such as 0.1"),
    "no label known": ({"known": 0.0}, "known is 0.0, but it should be a share"),
    "unknown kind of labels": (
        {"known": "one"},
        "known is 'one', but it should be a share of the labels, such as 0.1, 'single-positive' or",
    ),
    "labels without pictures": (
        {"learns_from": "captions", "corpus": "mini", "trained_on": None},
        "known is 0.1, but no picture was learnt from",
    ),
    "learnt without a seed": ({"seed": None}, "what was learnt from voc2007 has no seed"),
    "novel classes of partial labels": (
        {"tested_subset": "novel"},
        "tested_subset is 'novel', but partial-label tests all classes",
    ),
    "unknown kind of probabilities": ({"probabilities": "softmax"}, "probabilities is 'softmax'"),
    "options of another type": ({"dataset_options": ["unknown"]}, "dataset_options"),
    "no branch": ({"branch": ""}, "branch is ''"),
}
BAD_ENSEMBLES: dict[str, tuple[dict[str, Any], str]] = {
    "one member": (
        {"members": ["dualcoop"], "weights": [1.0]},
        "members has one learner; an ensemble has at least two",
    ),
    "a weight too few": ({"weights": [1.0]}, "weights has 1 values for 2 members"),
    "weights of nothing": ({"weights": [0.5, 0.4]}, "weights add up to 0.9, not to 1"),
    "negative weight": ({"weights": [-0.5, 1.5]}, "weights is -0.5, but it should be"),
}


def refused(tmp_path: Path, good: dict[str, Any], change: dict[str, Any]) -> str:
    file = write(tmp_path, good, {**good, "seed": 2} | change)
    with pytest.raises(UserError) as error:
        gather_records([file])
    assert str(error.value).startswith(f"{file}, line 2: ")
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD)
def test_bad_record_is_named_with_its_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    assert message in refused(tmp_path, record(known=0.1), change)


@pytest.mark.parametrize(("change", "message"), BAD_ENSEMBLES.values(), ids=BAD_ENSEMBLES)
def test_bad_ensemble_is_named_with_its_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    assert message in refused(tmp_path, ENSEMBLE, change)


@pytest.mark.parametrize("key", [*SEVERAL_CLASSES, "dataset", "selection"])
def test_no_key_may_lack(tmp_path: Path, key: str) -> None:
    whole = record(known=0.1)
    file = write(tmp_path, {name: value for name, value in whole.items() if name != key})
    with pytest.raises(UserError, match=f"line 1: key '{key}' is missing"):
        gather_records([file])


def test_predictions_of_several_labels_are_no_mistakes_of_one_class(tmp_path: Path) -> None:
    path = write(tmp_path, record(known=0.1))
    path.with_name("predictions.jsonl").write_text('{"dataset": "voc2007", "probabilities": {"cat": 0.9}}\n')
    found = gather_records([tmp_path])
    assert not found.predictions
    assert not list(found.read_predictions(summarise_protocols(found.records)))
