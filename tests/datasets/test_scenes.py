from __future__ import annotations

import pickle

import numpy as np
import pytest

from clipprompt.datasets import load_dataset
from clipprompt.datasets.scenes import load_scenes
from clipprompt.errors import UserError
from clipprompt.mini.scenes import VOC_CLASSES, sample_scene


def test_labels_are_those_of_the_drawn_scenes() -> None:
    dataset = load_scenes("val", 6)
    assert dataset.classnames == tuple(VOC_CLASSES)
    for seed, row in zip(dataset.items, dataset.targets, strict=True):
        assert row.tolist() == sample_scene(seed).labels()


def test_same_scenes_every_time_and_none_in_two_splits() -> None:
    test, again, val = load_scenes("test", 8), load_scenes("test", 8), load_scenes("val", 8)
    assert np.array_equal(np.asarray(test[3]), np.asarray(again[3]))
    assert test.split_hash() == again.split_hash()
    assert not set(test.items) & set(val.items)


def test_pictures_have_the_asked_size() -> None:
    assert load_scenes(n_images=1, size=32)[0].size == (32, 32)


def test_set_goes_to_another_process() -> None:
    dataset = load_scenes(n_images=2)
    copy = pickle.loads(pickle.dumps(dataset))
    assert np.array_equal(np.asarray(copy[1]), np.asarray(dataset[1]))


def test_spelling_chooses_split_number_and_classes() -> None:
    dataset = load_dataset("mini:val", n_images=3, classnames=["dog", "cat"])
    assert dataset.targets.shape == (3, 2)
    assert dataset.ids == load_scenes("val", 3).ids
    assert load_dataset("mini", n_images=3).ids == load_scenes("test", 3).ids


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("mini:tset", {}, "no image split 'tset'; choose one of train, val"),
        ("mini:captions", {}, "no image split 'captions'"),
        ("mini", {"n_images": 0}, "no image in this set"),
        ("mini", {"n_images": -1}, "not -1"),
        ("mini", {"images": "pictures"}, "--images pictures has no use"),
        ("mini", {"classnames": ["unicorn"]}, "no labels for class 'unicorn'"),
    ],
)
def test_wrong_request_is_refused(spec: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_dataset(spec, **({"n_images": 2} | options))  # type: ignore[arg-type]
