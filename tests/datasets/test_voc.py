from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from clipprompt.datasets import load_voc2007
from clipprompt.datasets._voc_xml import read_objects
from clipprompt.errors import UserError
from tests.datasets.miniatures import VOC, make_voc, voc_object, voc_xml

DOG, PERSON = VOC.index("dog"), VOC.index("person")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return make_voc(tmp_path)


@pytest.mark.parametrize("inside", ["", "VOCdevkit", "VOCdevkit/VOC2007"])
def test_root_may_be_any_of_three_folders(base: Path, tmp_path: Path, inside: str) -> None:
    dataset = load_voc2007(tmp_path / inside)
    assert dataset.ids == ("000005", "000006", "000007")
    assert dataset.classnames == tuple(VOC)
    assert dataset[0].size == (64, 64)
    assert dataset.options == {"split": "test", "difficult": "unknown"}


@pytest.mark.parametrize(("split", "n_images"), [("train", 2), ("val", 2), ("trainval", 4), ("test", 3)])
def test_splits_are_the_official_lists(base: Path, tmp_path: Path, split: str, n_images: int) -> None:
    assert len(load_voc2007(tmp_path, split)) == n_images


def set_objects(base: Path, *objects: tuple[str, int]) -> None:
    """Gives image 000005 these objects alone."""
    text = voc_xml("000005", [voc_object(name, difficult) for name, difficult in objects])
    (base / "Annotations" / "000005.xml").write_text(text)


@pytest.mark.parametrize(
    ("objects", "unknown", "negative"),
    [
        ([("dog", 0)], 1, 1),
        ([("dog", 1)], -1, 0),
        ([("dog", 1), ("dog", 1)], -1, 0),
        ([("dog", 1), ("dog", 0)], 1, 1),
        ([("dog", 0), ("dog", 1)], 1, 1),
        ([("person", 0)], 0, 0),
    ],
)
def test_class_of_difficult_objects_alone_is_unknown_or_negative(
    base: Path, objects: list[tuple[str, int]], unknown: int, negative: int
) -> None:
    set_objects(base, *objects)
    assert load_voc2007(base).targets[0, DOG] == unknown
    dataset = load_voc2007(base, difficult="negative")
    assert dataset.targets[0, DOG] == negative
    assert dataset.options["difficult"] == "negative"


def test_difficult_objects_leave_other_classes_alone(base: Path) -> None:
    set_objects(base, ("dog", 1), ("person", 0))
    row = load_voc2007(base).targets[0].tolist()
    assert (row[DOG], row[PERSON]) == (-1, 1)
    assert sum(map(abs, row)) == 2


def test_parts_of_a_person_are_no_objects(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text(voc_xml("a", [voc_object("person", 0)]))
    assert "<part><name>head</name>" in path.read_text()
    assert read_objects(path) == {"person": False}


def test_object_without_a_mark_is_not_difficult(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text("<?xml version='1.0' encoding='utf-8'?><annotation><object><name>dog</name></object></annotation>")
    assert read_objects(path) == {"dog": False}


def test_missing_pictures_can_be_left_out(base: Path) -> None:
    (base / "JPEGImages" / "000006.jpg").unlink()
    dataset = load_voc2007(base, skip_missing=True)
    assert dataset.ids == ("000005", "000007")
    assert dataset.targets.shape == (2, 20)
    assert dataset.options["missing_images"] == "1"
    assert dataset.notes == ("1 of 3 images are missing and left out; the first is 000006",)


def test_pictures_may_lie_elsewhere(base: Path, tmp_path: Path) -> None:
    shutil.move(base / "JPEGImages", tmp_path / "pictures")
    assert load_voc2007(base, images=tmp_path / "pictures")[2].size == (64, 64)


LAUGHS = '<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><annotation>&b;</annotation>'
FILE = (
    '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/hostname">]><annotation><object><name>&f;</name></object></annotation>'
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, "declares a document type"),
        (FILE, "declares a document type"),
        (LAUGHS.replace("DOCTYPE", "doctype"), "declares a document type"),
        ("", "line 1: broken XML"),
        ("<annotation><object>\n<name>dog</name>", "line 2: broken XML; was it copied whole"),
        ("<annotation>&undefined;</annotation>", "broken XML"),
        ("<html></html>", "not a VOC annotation, its outermost element is <html>"),
        (voc_xml("000005", [voc_object("zebra", 0)]), "'zebra' is not one of the 20 classes"),
        (voc_xml("000005", [voc_object("dining table", 0)]), "'dining table' is not one of the 20 classes"),
        (voc_xml("000005", [voc_object("", 0)]), "object 1 has no name"),
        (voc_xml("000005", [voc_object("dog", 0), voc_object("cat", 2)]), r"object 2 \(cat\): difficult is '2'"),
    ],
)
def test_broken_annotation_is_named(base: Path, text: str, message: str) -> None:
    (base / "Annotations" / "000005.xml").write_text(text)
    with pytest.raises(UserError, match=rf"000005\.xml.*{message}") as caught:
        load_voc2007(base)
    assert "\n" not in str(caught.value)


def test_annotation_in_utf_16_is_no_way_around(base: Path) -> None:
    (base / "Annotations" / "000005.xml").write_bytes(FILE.encode("utf-16"))
    with pytest.raises(UserError, match=r"000005\.xml.*not UTF-8"):
        load_voc2007(base)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lists no image"),
        ("\n\n", "lists no image"),
        ("000005\n\n000006\n", "line 2: '' is not one image id"),
        ("000005  1\n000006 -1\n", "line 1: '000005 1' is not one image id such as 000001"),
        ("../../../etc/passwd\n", "line 1: .* is not one image id"),
        ("000005\n000005\n", "image 000005 is listed twice"),
        ("000005\n000099\n", r"cannot read .*000099\.xml: No such file"),
    ],
)
def test_broken_list_is_named(base: Path, text: str, message: str) -> None:
    (base / "ImageSets" / "Main" / "test.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        load_voc2007(base)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda base: (base / "ImageSets" / "Main" / "test.txt").unlink(), r"cannot read .*test\.txt: No such file"),
        (
            lambda base: (base / "JPEGImages" / "000006.jpg").unlink(),
            r"test\.txt, line 2: image .*000006\.jpg does not",
        ),
        (lambda base: shutil.rmtree(base / "JPEGImages"), r"image folder .*JPEGImages does not exist"),
        (lambda base: shutil.rmtree(base / "Annotations"), r"cannot read .*000005\.xml: No such file"),
        (lambda base: shutil.rmtree(base / "ImageSets"), r"no VOC2007 at --root .*: there is no VOCdevkit/VOC2007"),
        (lambda base: shutil.rmtree(base), r"no VOC2007 at --root .*: it is not a folder"),
    ],
)
def test_first_missing_thing_is_named(base: Path, spoil: Callable[[Path], None], message: str) -> None:
    spoil(base)
    with pytest.raises(UserError, match=message):
        load_voc2007(base)


def test_all_pictures_missing_points_at_the_folder(base: Path, tmp_path: Path) -> None:
    for skip_missing in (False, True):
        with pytest.raises(UserError, match=r"nor does any other \(3 are missing\); is --images the right folder"):
            load_voc2007(base, images=tmp_path, skip_missing=skip_missing)
