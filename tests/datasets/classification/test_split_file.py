from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from clipprompt.datasets.classification.sets import Sample
from clipprompt.datasets.classification.split_file import read_split_file
from clipprompt.errors import UserError

GOLDEN = Path(__file__).parents[2] / "golden"
CAT = ["cat/a.jpg", 0, "cat"]


def write(folder: Path, content: Any) -> Path:
    path = folder / "split.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def test_the_real_file_of_caltech101_is_read() -> None:
    path = GOLDEN / "split_zhou_Caltech101.json"
    split = read_split_file(path)
    assert {part: len(samples) for part, samples in split.parts.items()} == {"train": 4128, "val": 1649, "test": 2465}
    assert split.parts["train"][0] == Sample("Faces/image_0274.jpg", 0, "face")
    assert (split.sha256, split.notes) == (hashlib.sha256(path.read_bytes()).hexdigest(), ())


def test_a_part_may_be_missing_or_empty(tmp_path: Path) -> None:
    assert read_split_file(write(tmp_path, {"test": [CAT], "val": []})).parts == {
        "test": [Sample("cat/a.jpg", 0, "cat")]
    }


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ({"train": [CAT], "val": [CAT], "test": [CAT]}, "2 pictures are listed again; cat/a.jpg stands in train and"),
        ({"train": [CAT, CAT]}, "1 pictures are listed again; cat/a.jpg stands twice in train"),
    ],
)
def test_a_picture_that_is_listed_again_is_noted(tmp_path: Path, content: Any, where: str) -> None:
    (note,) = read_split_file(write(tmp_path, content)).notes
    assert where in note


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"split.json, line 1: broken JSON"),
        (b'{"train": [["cat/a.jpg", 0,', "line 1: broken JSON"),
        (b"[" * 100_000, "split.json: "),
        (b'{"train": \n[["\xff", 0, "a"]]}', "line 2: not UTF-8"),
        ([CAT], "is not a split file, of the form"),
        ({}, "is not a split file, of the form"),
        ({"trian": [CAT]}, r"'trian' is not a part \(did you mean 'train'\?\); parts are train, val, test"),
        ({"train": {"a": 1}}, r"'train' is not a list of \[path, label, class name\]"),
        ({"train": [], "test": []}, "lists no picture"),
        ({"train": [CAT, ["cat/b.jpg", 0]]}, r'train, entry 2: \["cat/b.jpg", 0\] is not'),
        ({"train": [["cat/a.jpg", "0", "cat"]]}, r'entry 1: \["cat/a.jpg", "0", "cat"\] is not'),
        ({"train": [["cat/a.jpg", True, "cat"]]}, "true, .* is not"),
        ({"test": ["cat/a.jpg"]}, 'test, entry 1: "cat/a.jpg" is not'),
        ({"test": [["cat/a.jpg", -1, "cat"]]}, "label -1 of cat/a.jpg is below 0"),
        ({"test": [["cat/a.jpg", 0, " "]]}, "the class name of cat/a.jpg is empty"),
        ({"test": [["/etc/a.jpg", 0, "cat"]]}, "path '/etc/a.jpg' is not relative"),
        ({"test": [["../a.jpg", 0, "cat"]]}, "path '../a.jpg' is not relative"),
        ({"test": [["", 0, "cat"]]}, "path '' is not relative"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_wrong_split_file_is_named_in_one_line(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        read_split_file(write(tmp_path, content))
    assert "split.json" in str(error.value)


def test_a_missing_split_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*none.json: No such file"):
        read_split_file(tmp_path / "none.json")
