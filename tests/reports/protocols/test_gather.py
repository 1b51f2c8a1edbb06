from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clipprompt.errors import UserError
from clipprompt.reports.protocols.gather import gather_records
from clipprompt.reports.protocols.summary import summarise_protocols
from tests.reports.conftest import Make
from tests.reports.protocol_records import both, record


def write(path: Path, *records: object) -> Path:
    """A file of records; a string is a line as it stands."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in records))
    return path


def run_folder(path: Path, *records: dict[str, Any], started: str = "config.yaml") -> Path:
    """A run; one without records is not finished."""
    path.mkdir(parents=True, exist_ok=True)
    (path / started).touch()
    if records:
        write(path / "results.jsonl", *records)
    return path


def test_folders_are_searched_and_files_are_read(tmp_path: Path) -> None:
    run_folder(tmp_path / "sweep" / "coop" / "dtd" / "seed1", *both("coop", "dtd", 0.5, 0.4))
    run_folder(tmp_path / "sweep" / "maple" / "dtd" / "seed1", *both("maple", "dtd", 0.6, 0.5))
    run = run_folder(tmp_path / "run", *both("vpt", "dtd", 0.6, 0.5))
    file = write(tmp_path / "mine.jsonl", *both("ivlp", "dtd", 0.6, 0.5))
    found = gather_records([tmp_path / "sweep", run, file])
    assert [one["method"] for one in found.records] == [
        name for name in ("coop", "maple", "vpt", "ivlp") for _ in range(2)
    ]
    assert found.sources[2] == f"{tmp_path}/sweep/maple/dtd/seed1/results.jsonl, line 1"
    assert found.n_runs == 3


def test_a_file_that_is_reached_twice_is_read_once(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "sweep" / "run", record())
    found = gather_records([tmp_path, run, run / "results.jsonl", tmp_path / "sweep" / ".." / "sweep"])
    assert len(found.records) == found.n_runs == 1


@pytest.mark.parametrize("started", ["config.yaml", "job.json", ".job.lock"])
def test_runs_that_are_not_finished_are_counted(tmp_path: Path, started: str) -> None:
    run_folder(tmp_path / "a" / "done", record())
    cut = [run_folder(tmp_path / "a" / name, started=started) for name in ("cut1", "cut2")]
    (tmp_path / "a" / "features").mkdir()
    found = gather_records([tmp_path, tmp_path / "a", tmp_path / "a" / ".." / "a"])
    assert found.unfinished == cut
    assert found.n_runs == 1


def test_empty_lines_count_as_lines_and_hold_nothing(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", "", record(), "   ", record(seed=2))
    assert gather_records([file]).sources == [f"{file}, line 2", f"{file}, line 4"]


def test_predictions_lie_beside_the_results(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", record("maple"))
    (run / "predictions.jsonl").touch()
    assert gather_records([tmp_path]).predictions == [(run / "predictions.jsonl", record("maple"))]


def test_predictions_are_called_as_their_rows_in_their_order_and_read_once(tmp_path: Path) -> None:
    line = {"dataset": "dtd", "tested_subset": "base", "path": "1.jpg", "folder": None}
    line |= {"classname": "a", "predicted": "b", "probability": 0.5}
    for name, n_ctx in (("b", 4), ("a", 16), ("again", 4)):
        options = {**record()["options"], "learner.n_ctx": n_ctx}
        run = run_folder(tmp_path / name, record(options=options, test_seconds=float(len(name))))
        (run / "predictions.jsonl").write_text(json.dumps(line) + "\n")
    found = gather_records([tmp_path])
    tables = summarise_protocols(found.records, found.sources)
    assert [one.method for one in found.read_predictions(tables)] == ["coop, n_ctx=4", "coop, n_ctx=16"]


def test_multilabel_records_stand_apart_and_come_once(tmp_path: Path, make_multilabel: Make) -> None:
    one, other = make_multilabel(), make_multilabel("zero-shot", 0.25)
    found = gather_records([write(tmp_path / "a.jsonl", one, other), write(tmp_path / "b.jsonl", one, record())])
    assert found.multilabel == [one, other]
    assert len(found.records) == 1


def test_keys_that_are_not_known_are_left_alone(tmp_path: Path) -> None:
    assert gather_records([write(tmp_path / "a.jsonl", record(new_key=[1]))]).records[0]["new_key"] == [1]


@pytest.mark.parametrize("key", list(record()))
def test_every_key_of_a_record_is_insisted_on(tmp_path: Path, key: str) -> None:
    broken = {name: value for name, value in record().items() if name != key}
    with pytest.raises(UserError, match=rf"a\.jsonl, line 1: key '{key}' is missing"):
        gather_records([write(tmp_path / "a.jsonl", broken)])


BAD = {
    "accuracy above one": ({"accuracy": 1.7}, "accuracy is 1.7, but it should be less than or equal to 1"),
    "negative accuracy": ({"accuracy": -0.1}, "accuracy is -0.1, but it should be greater than or equal to 0"),
    "accuracy of text": ({"accuracy": "0.5"}, "accuracy is '0.5', but it should be a valid number"),
    "no accuracy": ({"accuracy": None}, "accuracy is none"),
    "accuracy that is no number": ({"accuracy": float("nan")}, "accuracy is nan, but it should be a finite number"),
    "infinite class": ({"per_class_accuracy": [0.5, float("inf")]}, "per_class_accuracy"),
    "class above one": ({"per_class_accuracy": [0.5, 50.0]}, "per_class_accuracy"),
    "classes without accuracies": ({"per_class_accuracy": [0.5]}, "per_class_accuracy has 1 values for 2 classnames"),
    "number that is not finite in the options": ({"options": {"train.lr": float("inf")}}, "a number is not finite"),
    "options in a list": ({"options": []}, "options is [], but it should hold keys of its own"),
    "fraction of a seed": ({"seed": 1.5}, "seed is 1.5, but it"),
    "true as a seed": ({"seed": True}, "seed is True, but it"),
    "no seed": ({"seed": None}, "what was learnt from dtd has no seed"),
    "no shots": ({"shots": 0}, "shots is 0, but it should be greater than or equal to 1"),
    "no pictures": ({"n_images": 0}, "n_images is 0, but it should be greater than or equal to 1"),
    "unknown protocol": (
        {"protocol": "fewshot"},
        "key 'protocol' is 'fewshot'; it is not one of base-to-novel, few-shot, ",
    ),
    "protocol of a wrong type": ({"protocol": ["few-shot"]}, "key 'protocol' is ['few-shot']"),
    "unknown part": ({"part": "tets"}, "part is 'tets', but it should be 'train', 'val' or 'test' (did you"),
    "unknown subset": ({"tested_subset": "new"}, "tested_subset is 'new', but it should be 'all', 'base' or 'novel'"),
    "all classes in base-to-novel": ({"tested_subset": "all"}, "tested_subset is 'all', but base-to-novel"),
    "novel classes in few-shot": (
        {"protocol": "few-shot", "tested_subset": "novel"},
        "tested_subset is 'novel', but few-shot tests all classes",
    ),
    "zero-shot that has learnt": (
        {"protocol": "zero-shot", "tested_subset": "all"},
        "trained_on is 'dtd', but nothing is learnt in zero-shot",
    ),
    "negative memory": ({"peak_memory_bytes": -1}, "peak_memory_bytes is -1, but it should be greater than or equal"),
    "learnt before it began": (
        {"train_seconds": -1.0},
        "train_seconds is -1.0, but it should be greater than or equal",
    ),
    "tested before it began": ({"test_seconds": -0.5}, "test_seconds is -0.5, but it should be greater than or equal"),
    "unknown setting": ({"setting": "oracle"}, "setting is 'oracle', but it should be 'inductive' or 'transductive'"),
    "empty name of a set": ({"dataset": ""}, "dataset is '', but it should have at least 1 character"),
    "backbone in a list": ({"backbone": ["ViT-B-16"]}, "backbone is ['ViT-B-16'], but it should be a valid string"),
}


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD)
def test_bad_record_is_named_with_its_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    file = write(tmp_path / "results.jsonl", record(), record(seed=2) | change)
    with pytest.raises(UserError) as error:
        gather_records([file])
    assert str(error.value).startswith(f"{file}, line 2: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


BAD_FILES = {
    "not JSON": (["{", "line 1: broken JSON"]),
    "a list": (["[1]", "line 1: not a record of results"]),
    "a number": (["7", "line 1: not a record of results"]),
    "empty": (["", "holds no record; remove it"]),
    "of another kind": (
        ['{"path": "a.jpg", "label": 1}', "line 1: key 'protocol' is missing: no record of a protocol"]
    ),
    "huge number": ([f'{{"protocol": {"9" * 5000}}}', "line 1: "]),
    "deep": (["[" * 100_000, "line 1: "]),
}


@pytest.mark.parametrize(("text", "message"), BAD_FILES.values(), ids=BAD_FILES)
def test_bad_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = write(tmp_path / "run" / "results.jsonl", text)
    with pytest.raises(UserError) as error:
        gather_records([tmp_path])
    assert str(error.value).startswith(str(file))
    assert message in str(error.value)


def test_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_bytes(b"\xff\xfe{}")
    with pytest.raises(UserError, match=r"cannot read .*results\.jsonl"):
        gather_records([tmp_path])


def test_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere does not exist; give folders of sweeps or runs"):
        gather_records([tmp_path / "nowhere"])


def test_folder_without_results_says_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing to report in .*: no results\.jsonl"):
        gather_records([tmp_path])
    run_folder(tmp_path / "cut")
    with pytest.raises(UserError, match=r"nothing to report in .*: the only run there is not finished"):
        gather_records([tmp_path])


BAD_MULTILABEL = {
    "no mAP": ({"mean_average_precision": None}, "mean_average_precision is none"),
    "mAP in percent": ({"mean_average_precision": 88.3}, "mean_average_precision is 88.3"),
    "unknown normalisation": ({"normalise": "images"}, "normalise is 'images', but it should be 'none'"),
    "F1 that is no number": ({"at_top3": {"CF1": float("nan"), "OF1": 0.5}}, "at_top3"),
}


@pytest.mark.parametrize(("change", "message"), BAD_MULTILABEL.values(), ids=BAD_MULTILABEL)
def test_bad_multilabel_record_is_named(
    tmp_path: Path, make_multilabel: Make, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError) as error:
        gather_records([write(tmp_path / "a.jsonl", make_multilabel(**change))])
    assert "a.jsonl, line 1: " in str(error.value)
    assert message in str(error.value)
