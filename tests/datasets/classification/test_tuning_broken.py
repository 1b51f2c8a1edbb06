"""Lists of the fine-grained five and of VTAB's tasks that are broken, half there, or another set's: one line each."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clipprompt.datasets.classification.load import load_classification
from clipprompt.datasets.classification.specifications import SPECIFICATIONS
from clipprompt.datasets.select import load_dataset
from clipprompt.errors import UserError
from tests.datasets.classification.tuning_miniatures import make_tuning_miniature

Break = Callable[[Path], object]


def _write(path: str, text: str) -> Break:
    return lambda base: (base / path).write_text(text)


def _append(path: str, line: str) -> Break:
    return lambda base: (base / path).write_text(f"{(base / path).read_text()}{line}\n")


def _remove(path: str) -> Break:
    return lambda base: (base / path).unlink()


def _edit(path: str, change: Callable[[dict[str, Any]], object]) -> Break:
    def edit(base: Path) -> None:
        content = json.loads((base / path).read_text())
        change(content)
        (base / path).write_text(json.dumps(content))

    return edit


def _first_of_test(base: Path) -> str:
    return str((base / "test.txt").read_text().splitlines()[0])


def _other_sets_json(base: Path) -> None:
    """The dogs' lists beside the birds' pictures."""
    other = make_tuning_miniature("fgvc-dogs", base.parent)
    for path in other.glob("*.json"):
        shutil.copy(path, base / path.name)


ALBATROSS = "001.Black_footed_Albatross/Black_footed_Albatross_0000_0.jpg"
BROKEN: dict[str, tuple[str, Break, str]] = {
    "no test.json": ("fgvc-cub", _remove("test.json"), r"cannot read .*CUB_200_2011/test.json: No such file"),
    "half a json": ("fgvc-cub", _write("val.json", '{"a/b.jpg": 1,'), r"val.json, line 1: broken JSON"),
    "a list": ("fgvc-dogs", _write("val.json", "[1, 2]"), r"val.json is not of the form \{"),
    "an empty object": ("fgvc-dogs", _write("val.json", "{}"), r"val.json is not of the form \{"),
    "a word for a class": (
        "fgvc-cub",
        _edit("val.json", lambda content: content.update({"001.x/y.jpg": "albatross"})),
        'val.json, entry 4: class "albatross" of 001.x/y.jpg is not a number from 0',
    ),
    "half a class": (
        "fgvc-cars",
        _edit("train.json", lambda content: content.update({"car_ims/9.jpg": 1.5})),
        "train.json, entry 10: class 1.5 of car_ims/9.jpg is not a number",
    ),
    "a class below 0": (
        "fgvc-cars",
        _edit("train.json", lambda content: content.update({"car_ims/9.jpg": -1})),
        "train.json, entry 10: class -1 of car_ims/9.jpg is not a number",
    ),
    "a class too many": (
        "fgvc-flowers",
        _edit("train.json", lambda content: content.update({"jpg/image_09999.jpg": 103})),
        "class 103 in the .json files, where Oxford Flowers has 102 classes; are they",
    ),
    "a picture twice in json": (
        "fgvc-cub",
        _write("val.json", '{"001.a/1.jpg": 1, "001.a/1.jpg": 2}'),
        "val.json, entry 2: 001.a/1.jpg is there twice; take one",
    ),
    "a picture in train and test of json": (
        "fgvc-cub",
        _edit("test.json", lambda content: content.update({ALBATROSS: 1})),
        f"test.json: {ALBATROSS} stands in train.json and test.json; a picture is of one part",
    ),
    "a picture outside": (
        "fgvc-dogs",
        _edit("train.json", lambda content: content.update({"../../secret.jpg": 1})),
        "train.json, entry 10: path '../../secret.jpg' is not relative to the folder of the pictures",
    ),
    "a class of two folders": (
        "fgvc-cub",
        _edit("test.json", lambda content: content.update({"002.Laysan_Albatross/x.jpg": 1})),
        "class 1 has pictures of 001.Black_footed_Albatross and 002.Laysan_Albatross; are the",
    ),
    "a folder of two classes": (
        "fgvc-cub",
        _edit("test.json", lambda content: content.update({"001.Black_footed_Albatross/x.jpg": 9})),
        "labels 0 and 3 are both called 'Black footed Albatross' in train.json",
    ),
    "a bird without a name": (
        "fgvc-nabirds",
        _write("classes.txt", "296 Common Eider (Adult male)\n"),
        "classes.txt has no name for 0817, a folder of pictures in the .json files",
    ),
    "a name without a number": (
        "fgvc-nabirds",
        _append("classes.txt", "Oak Titmouse"),
        "classes.txt, line 6: 'Oak Titmouse' is not of the form",
    ),
    "no names of birds": ("fgvc-nabirds", _remove("classes.txt"), "cannot read .*nabirds/classes.txt: No such file"),
    "no val200.txt": ("vtab-dtd", _remove("val200.txt"), r"cannot read .*vtab-1k/dtd/val200.txt: No such file"),
    "an empty list": ("vtab-dtd", _write("test.txt", "\n"), r"dtd/test.txt is empty; fetch the file again"),
    "a line without a class": (
        "vtab-dtd",
        _append("train800.txt", "images/train800/000009.jpg"),
        "train800.txt, line 10: 'images/train800/000009.jpg' is not of the form 'images/train800/000000.jpg 3'",
    ),
    "a line with a word": (
        "vtab-dtd",
        _append("test.txt", "images/test/000009.jpg woven"),
        "test.txt, line 7: 'images/test/000009.jpg woven' is not of the form",
    ),
    "another task's list": (
        "vtab-kitti-distance",
        _append("test.txt", "images/test/000009.jpg 4"),
        "test.txt, line 7: 4 is not a class from 0 to 3; is it the list of this task",
    ),
    "a number of thousands of digits": (
        "vtab-dtd",
        _append("test.txt", f"images/test/a.jpg {'9' * 5000}"),
        "test.txt, line 7: 99999999999999999999 is not a class from 0 to 46",
    ),
    "a class of thousands of digits": (
        "fgvc-dogs",
        _edit("train.json", lambda content: content.update({"n1-x/y.jpg": "9" * 5000})),
        'train.json, entry 10: class "9+ of n1-x/y.jpg is not a number from 0',
    ),
    "a label below 0": ("vtab-dtd", _append("test.txt", "images/test/a.jpg -1"), "line 7: -1 is not a class from 0"),
    "a picture twice in a list": (
        "vtab-dtd",
        lambda base: _append("test.txt", _first_of_test(base))(base),
        "test.txt: images/test/000000.jpg is there twice; take one of them out",
    ),
    "a picture in train and test of lists": (
        "vtab-dtd",
        _append("test.txt", "images/train800/000000.jpg 0"),
        "test.txt: images/train800/000000.jpg stands in train800.txt and test.txt; a picture is of one part",
    ),
    "an absolute path": ("vtab-dtd", _append("test.txt", "/etc/a.jpg 0"), "path '/etc/a.jpg' is not relative"),
}


@pytest.mark.parametrize(("name", "spoil", "message"), BROKEN.values(), ids=BROKEN)
def test_broken_lists_get_one_line(tmp_path: Path, name: str, spoil: Break, message: str) -> None:
    base = make_tuning_miniature(name, tmp_path)
    spoil(base)
    with pytest.raises(UserError, match=message) as error:
        len(load_classification(name, tmp_path).classnames)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["fgvc-cub", "vtab-dtd"])
def test_a_wrong_root_is_told_with_the_next_step(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=f"there is no {SPECIFICATIONS[name].folder} in it; ") as error:
        load_classification(name, tmp_path)
    step = "train.json, val.json and test.json" if name == "fgvc-cub" else f"run: clipprompt data download {name} --ro"
    assert step in str(error.value)


@pytest.mark.parametrize(
    ("name", "picture"),
    [("fgvc-cub", f"images/{ALBATROSS}"), ("vtab-dtd", "images/train800/000000.jpg")],
)
def test_a_listed_picture_that_is_missing_is_named(tmp_path: Path, name: str, picture: str) -> None:
    (make_tuning_miniature(name, tmp_path) / picture).unlink()
    with pytest.raises(UserError, match=f"{picture} does not exist") as error:
        load_dataset(f"{name}:train", root=tmp_path)
    assert SPECIFICATIONS[name].next_step(str(tmp_path)) in str(error.value)


def test_lists_of_another_set_are_told_by_the_pictures_they_name(tmp_path: Path) -> None:
    _other_sets_json(make_tuning_miniature("fgvc-cub", tmp_path))
    with pytest.raises(UserError, match=r"images/n02085620-Chihuahua/n02085620_0.jpg does not exist"):
        load_dataset("fgvc-cub:train", root=tmp_path)


@pytest.mark.parametrize("name", ["vtab-dtt", "fgvc-cubs", "vtab-clevr"])
def test_a_misspelt_name_is_told_with_the_nearest(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=rf"unknown set '{name}' \(did you mean '(vtab|fgvc)-") as error:
        load_classification(name, tmp_path)
    assert len(str(error.value)) < 800


@pytest.mark.parametrize("load", [load_classification, load_dataset])
def test_a_group_is_no_set(load: Callable[[str], object]) -> None:
    with pytest.raises(UserError, match=r"^vtab-specialized is a group of 4 sets, and here one is meant; give vtab-"):
        load("vtab-specialized")
