from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clipprompt.errors import UserError
from clipprompt.reports.mistakes.predictions import Prediction, read_predictions

LINE = {
    "dataset": "dtd",
    "part": "test",
    "tested_subset": "novel",
    "folder": "/data/dtd/images",
    "path": "lined/1.jpg",
    "classname": "lined",
    "predicted": "woven",
    "probability": 0.75,
}


def _write(folder: Path, *lines: dict[str, Any]) -> Path:
    path = folder / "predictions.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return path


def test_a_line_is_a_prediction(tmp_path: Path) -> None:
    right = LINE | {"predicted": "lined", "folder": None}
    found = read_predictions(_write(tmp_path, LINE, right), "coop")
    assert found[0] == Prediction(
        "dtd", "novel", "lined/1.jpg", "/data/dtd/images", "lined", "woven", probability=0.75, method="coop"
    )
    assert [one.is_right for one in found] == [False, True]
    assert found[1].folder is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"probability": "sure"}, "line 2: probability must be a number, not 'sure'"),
        ({"probability": float("nan")}, "line 2: probability must be a number, not nan"),
        ({"probability": True}, "line 2: probability must be a number, not True"),
        ({"path": 3}, "line 2: .* must be text"),
        ({"predicted": None}, "line 2: .* must be text"),
        ({"folder": ["x"]}, "line 2: .* must be text"),
    ],
    ids=["word", "nan", "boolean", "number for a path", "no class", "list for a folder"],
)
def test_a_line_that_is_no_prediction_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_predictions(_write(tmp_path, LINE, LINE | changes))


@pytest.mark.parametrize("key", ["dataset", "tested_subset", "path", "folder", "classname", "predicted", "probability"])
def test_a_key_that_is_lacking_is_named(tmp_path: Path, key: str) -> None:
    line = {name: value for name, value in LINE.items() if name != key}
    with pytest.raises(UserError, match=f"line 1: a prediction lacks '{key}'"):
        read_predictions(_write(tmp_path, line))


@pytest.mark.parametrize("text", ["{", "[]\n", "3\n", "\xff"], ids=["cut off", "list", "number", "no UTF-8"])
def test_a_file_that_holds_anything_else_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"predictions\.jsonl"):
        read_predictions(path)
