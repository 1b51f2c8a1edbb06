from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clipprompt.datasets import load_coco
from clipprompt.errors import UserError

Write = Callable[[Any], Path]


def test_classes_stand_in_the_order_of_their_ids(write_coco: Write, coco_content: dict[str, Any]) -> None:
    assert load_coco(write_coco(coco_content)).classnames == ("person", "cat", "dog")


def test_crowds_count_and_images_without_annotation_are_all_absent(
    write_coco: Write, coco_content: dict[str, Any]
) -> None:
    dataset = load_coco(write_coco(coco_content))
    assert dataset.ids == ("b.jpg", "a.jpg", "c.jpg")
    assert dataset.targets.tolist() == [[0, 0, 1], [1, 1, 0], [0, 0, 0]]
    assert dataset.targets.dtype == "int8"


def test_images_without_annotation_can_be_left_out(write_coco: Write, coco_content: dict[str, Any]) -> None:
    dataset = load_coco(write_coco(coco_content), keep_empty=False)
    assert dataset.ids == ("b.jpg", "a.jpg")
    assert len(dataset.items) == len(dataset.targets) == 2


def test_image_opens(write_coco: Write, coco_content: dict[str, Any]) -> None:
    assert load_coco(write_coco(coco_content))[0].size == (12, 8)


def test_image_folder_may_be_elsewhere(write_coco: Write, coco_content: dict[str, Any], tmp_path: Path) -> None:
    path = write_coco(coco_content)
    shutil.move(tmp_path / "tiny", tmp_path / "pictures")
    assert len(load_coco(path, tmp_path / "pictures")) == 3


def change(content: dict[str, Any], keys: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(content)
    place = changed
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    return changed


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("images",), None, "it has no list 'images'"),
        (("annotations",), {}, "it has no list 'annotations'"),
        (("categories",), None, r"no list 'categories'; a file of captions has no labels"),
        (("images",), [], r"annotations\[0\]: image_id 7 is not defined"),
        (("categories",), [], "category_id 18 is not defined"),
        (("images", 1, "file_name"), None, r"images\[1\]: 'file_name' is None, not a str"),
        (("images", 1), 5, r"images\[1\]: 'id' is None"),
        (("images", 1, "id"), "3", r"images\[1\]: 'id' is '3', not a int"),
        (("images", 1, "id"), 7, "image id 7 is there twice"),
        (("images", 1, "file_name"), "b.jpg", r"file name 'b\.jpg' is there twice"),
        (("images", 1, "file_name"), "gone.jpg", r"image 3: image .*gone\.jpg does not exist"),
        (("categories", 1, "id"), 18, "category id 18 is there twice"),
        (("categories", 1, "name"), "dog", "class 'dog' is there twice"),
        (("annotations", 2, "category_id"), 99, r"annotations\[2\]: category_id 99 is not defined"),
        (("annotations", 2, "image_id"), 99, r"annotations\[2\]: image_id 99 is not defined"),
    ],
)
def test_broken_content_is_named(
    write_coco: Write, coco_content: dict[str, Any], keys: tuple[Any, ...], value: Any, message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load_coco(write_coco(change(coco_content, keys, value)))
    assert "instances_tiny" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: broken JSON"),
        ('{\n"images": [', "line 2: broken JSON"),
        ("[1, 2]", "it holds a list"),
        ("[" * 100_000, "is not a COCO file: maximum recursion"),
        (f'{{"images": {"9" * 5000}}}', "is not a COCO file: Exceeds the limit"),
    ],
)
def test_broken_file_is_named(write_coco: Write, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_coco(write_coco(text))


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*nowhere\.json"):
        load_coco(tmp_path / "nowhere.json")


def test_missing_folder_is_named(write_coco: Write, coco_content: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"image folder .*nowhere does not exist"):
        load_coco(write_coco(coco_content), tmp_path / "nowhere")


def test_layout_that_is_not_official_needs_the_folder(tmp_path: Path, coco_content: dict[str, Any]) -> None:
    (tmp_path / "labels.json").write_text("{}")
    with pytest.raises(UserError, match="--images"):
        load_coco(tmp_path / "labels.json")


def test_file_in_place_of_the_folder_is_named(write_coco: Write, coco_content: dict[str, Any]) -> None:
    path = write_coco(coco_content)
    with pytest.raises(UserError, match="is not a folder"):
        load_coco(path, path)


@pytest.mark.parametrize(("key", "what"), [("images", "image"), ("categories", "class")])
def test_empty_set_is_refused(write_coco: Write, coco_content: dict[str, Any], key: str, what: str) -> None:
    with pytest.raises(UserError, match=f"there is no {what} in this set"):
        load_coco(write_coco(coco_content | {"annotations": [], key: []}))
