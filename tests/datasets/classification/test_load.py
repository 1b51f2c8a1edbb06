from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from clipprompt.datasets import load_dataset
from clipprompt.datasets.classification.draw import draw
from clipprompt.datasets.classification.load import NAMED, is_classification, load_classification
from clipprompt.datasets.classification.specifications import SPECIFICATIONS
from clipprompt.datasets.select import is_named, training_split
from clipprompt.errors import UserError
from clipprompt.mini.styles import STYLES
from tests.datasets.conftest import save_image

GOLDEN = Path(__file__).parents[2] / "golden"
SPLIT_FILE = "split_zhou_Caltech101.json"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A Caltech101 of two classes, as CoOp's users have it."""
    parts: dict[str, list[Any]] = {part: [] for part in ("train", "val", "test")}
    for label, name in enumerate(["Faces", "yin_yang"]):
        for number, part in enumerate(["train", "train", "val", "test"]):
            save_image(tmp_path / "caltech-101" / "101_ObjectCategories" / name / f"{number}.jpg")
            parts[part].append([f"{name}/{number}.jpg", label, name.lower()])
    (tmp_path / "caltech-101" / SPLIT_FILE).write_text(json.dumps(parts))
    return tmp_path


@pytest.mark.parametrize("inner", ["", "caltech-101"])
@pytest.mark.parametrize("name", ["caltech101", "Caltech101"])
def test_root_is_the_sets_folder_or_the_one_above(root: Path, name: str, inner: str) -> None:
    found = load_classification(name, root / inner)
    assert (found.name, found.classnames) == ("caltech101", ("faces", "yin_yang"))
    assert found.folder == root / inner / ("" if inner else "caltech-101") / "101_ObjectCategories"
    assert found.open_item(found.item(found.part("test")[1])).size == (12, 8)


def test_a_split_file_alone_is_enough_to_draw(tmp_path: Path) -> None:
    shutil.copy(GOLDEN / SPLIT_FILE, tmp_path)
    found = load_classification("caltech101", tmp_path)
    assert (found.source, found.source_sha256) == (SPLIT_FILE, SPECIFICATIONS["caltech101"].split_sha256)
    assert draw(found, 1, 1).hash == "8aadd25b3aa3f1fab845944412e8a32a5f55835ef6a48a2ae589ca67212c2be4"


def test_a_part_is_a_labelled_set(root: Path) -> None:
    images = load_dataset("caltech101:val", root=root)
    assert (images.name, images.classnames) == ("caltech101:val", ("faces", "yin_yang"))
    assert (images.ids, images.targets.tolist()) == (("Faces/2.jpg", "yin_yang/2.jpg"), [[1, 0], [0, 1]])
    assert images.options == {"split": "val", "split_source": f"{SPLIT_FILE}; not of the official size"}
    assert load_dataset("CALTECH101", root=root).name == "caltech101:test"


def test_pictures_may_lie_elsewhere(root: Path) -> None:
    (root / "caltech-101" / "101_ObjectCategories").rename(root / "elsewhere")
    assert load_dataset("caltech101", root / "elsewhere", root=root)[0].size == (12, 8)
    with pytest.raises(UserError, match=r"nor does any other \(2 are missing\); is --images the right folder\?$"):
        load_dataset("caltech101", root / "nowhere", root=root)


def test_missing_pictures_are_told_with_what_to_do_or_left_out(root: Path) -> None:
    (root / "caltech-101" / "101_ObjectCategories" / "Faces" / "3.jpg").unlink()
    missing = (
        r"caltech101, test: image .*3.jpg does not exist; --skip-missing .*; run: clipprompt data download caltech101"
    )
    with pytest.raises(UserError, match=missing):
        load_dataset("caltech101:test", root=root)
    assert load_dataset("caltech101:test", root=root, skip_missing=True).ids == ("yin_yang/3.jpg",)


def test_names_are_the_published_and_the_drawn() -> None:
    assert tuple(NAMED) == (*SPECIFICATIONS, *STYLES)
    assert len(SPECIFICATIONS) == 15 + 5 + 19
    assert is_classification("FGVC_aircraft")
    assert not is_classification("caltech101:test")
    assert is_named("caltech101:test")
    assert is_named("mini-objects")


@pytest.mark.parametrize("name", STYLES)
def test_drawn_sets_need_no_root(name: str) -> None:
    images = load_dataset(f"{name}:val")
    assert images.name == f"{name}:val"
    assert (images.targets.sum(axis=1) == 1).all()
    assert images[0].size == (64, 64)


@pytest.mark.parametrize(
    ("spec", "meant"),
    [("caltech101", "caltech101:train"), ("Mini-Objects", "mini-objects:train"), ("dtd:val", "dtd:val")],
)
def test_training_means_the_part_train(spec: str, meant: str) -> None:
    assert training_split(spec) == meant
    with pytest.raises(UserError, match="is a test split, and nothing is learnt"):
        training_split(f"{spec.partition(':')[0]}:test")


def test_a_table_with_splits_is_read_by_split(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("path,label,split\na.jpg,cat,train\nb.jpg,dog,test\nc.jpg,cat|dog,train\n")
    for name in "abc":
        save_image(tmp_path / f"{name}.jpg")
    images = load_dataset(f"{path}:train")
    assert (images.name, images.ids, images.options) == ("t:train", ("a.jpg", "c.jpg"), {"split": "train"})
    assert (images.classnames, images.targets.tolist()) == (("cat", "dog"), [[1, 0], [1, 1]])
    assert training_split(str(path)) == f"{path}:train"
    for spec, message in (
        (path, r"t.csv holds splits; choose one of .*t.csv:train, .*t.csv:test"),
        (f"{path}:val", "t.csv has no split 'val'; choose one of"),
    ):
        with pytest.raises(UserError, match=message):
            load_dataset(str(spec))
    with pytest.raises(UserError, match="is a test split"):
        training_split(f"{path}:test")


def test_a_table_without_splits_has_none(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,label\na.jpg,cat\n")
    assert training_split(str(tmp_path / "t.csv")) == str(tmp_path / "t.csv")
    with pytest.raises(UserError, match="has no column 'split', so it has no split 'train'; leave out :train"):
        load_dataset(f"{tmp_path / 't.csv'}:train")


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("caltech101", {}, "caltech101 needs --root, the folder that holds caltech-101"),
        (
            "caltech101",
            {"root": "nowhere"},
            "no Caltech101 at --root nowhere: it is not a folder; run: clipprompt data",
        ),
        ("caltech101", {"root": ".", "parts": ["trian"]}, r"there is no part 'trian' \(did you mean 'train'\?\)"),
        ("caltech_101", {"root": "."}, r"unknown set 'caltech_101' \(did you mean 'caltech101'\?\)"),
        (
            "voc2007",
            {"root": "."},
            "voc2007 has several classes to a picture; this is for sets with one",
        ),
        ("coco2014:train", {"root": "."}, "coco2014:train has several classes to a picture"),
        ("mini", {}, "mini has several classes to a picture"),
        ("mini-objects", {"root": "x"}, "--root x has no use with the drawn pictures of mini-objects"),
        ("mini-objects", {"images": "x"}, "--images x has no use with the drawn pictures of mini-objects"),
        ("mini-objetcs", {}, r"unknown set 'mini-objetcs' \(did you mean 'mini-objects'\?\)"),
        ("photos.csv", {"root": "x"}, "--root x has no use with 'photos.csv'; it goes with imagenet"),
        ("no/photos.csv", {}, "cannot read no/photos.csv: No such file"),
        ("no/photos.csv", {"images": "x"}, "image folder x does not exist; give the folder of the pictures with --im"),
        ("no/photos", {}, "the image folder no/photos does not exist"),
        ("no/photos", {"images": "x"}, "--images x has no use with 'no/photos', which holds its pictures"),
    ],
)
def test_a_wrong_request_is_one_line(spec: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_classification(spec, **options)
