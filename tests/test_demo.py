from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from clipprompt.demo import DemoResult, run_demo
from clipprompt.learners import load_learner

SMALL = ["train.epochs=1", "data.templates=false"]


def _run(folder: Path) -> tuple[DemoResult, list[str]]:
    said: list[str] = []
    return run_demo(folder, seeds=[1], say=said.append, n_captions=600, n_scenes=40, settings=SMALL), said


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[DemoResult, Path]:
    folder = tmp_path_factory.mktemp("demo")
    return _run(folder)[0], folder


def test_every_row_and_control_is_scored(made: tuple[DemoResult, Path]) -> None:
    result, _ = made
    rows = {(record["method"], record["variant"]) for record in result.records}
    assert rows == {
        ("zero_shot", ""),
        ("zero_shot", "centred text"),
        ("zero_shot", "centred text, pooled alike"),
        ("tai_dpt", ""),
        ("tai_dpt", "untrained contexts"),
        ("tai_dpt", "started from words"),
        ("tai_dpt", "unified contexts"),
        ("tai_dpt", "shuffled labels"),
        ("tai_dpt", "labelled images"),
    }
    assert {record["n_images"] for record in result.records} == {40}
    assert all(0 < record["mean_average_precision"] < 1 for record in result.records)
    assert all(record["control"] == bool(record["variant"]) for record in result.records)


def test_its_files_are_there(made: tuple[DemoResult, Path]) -> None:
    result, _ = made
    with Image.open(result.picture) as picture:
        assert picture.width > 1000
    assert load_learner(result.run).classnames[0] == "aeroplane"
    lines = result.results.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["row"] for line in lines] == [record["row"] for record in result.records]


def test_a_second_run_gives_the_same_numbers(made: tuple[DemoResult, Path]) -> None:
    result, folder = made
    prompt = (result.run / "prompt.safetensors").stat().st_mtime_ns
    again, _ = _run(folder)
    assert (again.run / "prompt.safetensors").stat().st_mtime_ns == prompt, "a complete run is not run again"
    numbers = [[record["average_precision"] for record in r.records] for r in (result, again)]
    assert numbers[0] == numbers[1]
