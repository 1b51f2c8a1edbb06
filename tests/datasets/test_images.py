from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clipprompt.datasets import MultiLabelImages
from clipprompt.errors import UserError

CLASSES = ("cat", "hot dog")


def make(targets: list[list[int]], classnames: tuple[str, ...] = CLASSES, **more: Any) -> MultiLabelImages:
    ids = tuple(f"{row}.jpg" for row in range(len(targets)))
    fields = {"items": list(ids), "ids": ids} | more
    return MultiLabelImages("tiny", classnames=classnames, targets=np.array(targets, dtype=np.int8), **fields)


def test_item_is_opened_by_the_set_that_holds_it() -> None:
    dataset = make([[1, 0]], open_item=lambda item: Image.new("RGB", (len(item), 1)))
    assert dataset[0].size == (5, 1)


def test_label_two_is_refused() -> None:
    with pytest.raises(UserError, match="label 2 is not one of"):
        make([[1, 2]])


def test_set_without_images_is_refused() -> None:
    with pytest.raises(UserError, match="no image"):
        make([])


def test_class_twice_is_refused_whatever_its_spelling() -> None:
    with pytest.raises(UserError, match="'hot dog' is there twice"):
        make([[1, 0]], classnames=("hot dog", "Hot_Dog"))


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UserError, match="do not fit"):
        make([[1, 0, 0]])


def test_classes_are_selected_in_the_asked_order() -> None:
    picked = make([[1, 0], [-1, 1]]).with_classes(["Hot_dog", "cat"])
    assert picked.classnames == ("Hot_dog", "cat")
    assert picked.targets.tolist() == [[0, 1], [1, -1]]


def test_unknown_class_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"'hot dgo' \(did you mean 'hot dog'\?\)"):
        make([[1, 0]]).with_classes(["hot dgo"])


def test_subset_keeps_rows_together() -> None:
    part = make([[1, 0], [0, 1], [0, 0]]).subset([2, 0])
    assert part.ids == ("2.jpg", "0.jpg")
    assert part.items == ["2.jpg", "0.jpg"]
    assert part.targets.tolist() == [[0, 0], [1, 0]]


def test_split_hash_sees_labels_ids_and_order_but_no_folder() -> None:
    base = make([[1, 0], [0, 1]])
    same = make([[1, 0], [0, 1]], items=[os.sep + "elsewhere", os.sep + "too"])
    others = [make([[1, 0], [0, 0]]), base.subset([1, 0]), make([[1, 0], [0, 1]], ids=("0.jpg", "x.jpg"))]
    assert base.split_hash() == same.split_hash()
    assert len({base.split_hash(), *(other.split_hash() for other in others)}) == 4


def test_class_hash_sees_the_order_of_classes() -> None:
    assert make([[1, 0]]).class_hash() != make([[1, 0]]).with_classes(["hot dog", "cat"]).class_hash()
