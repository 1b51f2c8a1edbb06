from __future__ import annotations

import numpy as np
import pytest

from clipprompt.datasets.objects import load_objects
from clipprompt.errors import UserError
from clipprompt.mini.render import render_scene
from clipprompt.mini.scenes import KINDS, VOC_CLASSES, sample_object_scene


def test_every_picture_shows_one_class_and_the_classes_take_turns() -> None:
    dataset = load_objects("train", 3 * len(VOC_CLASSES), classnames=VOC_CLASSES)
    assert (dataset.targets.sum(axis=1) == 1).all()
    assert (dataset.targets.sum(axis=0) == 3).all()


def test_all_kinds_are_classes_unless_some_are_named() -> None:
    assert load_objects(n_images=1).classnames == tuple(KINDS)


def test_pictures_are_faded_and_have_the_asked_size() -> None:
    seed = load_objects(n_images=1).items[0]
    pixels = np.asarray(load_objects(n_images=1, size=32)[0]).astype(int)
    plain = np.asarray(render_scene(sample_object_scene(seed), 32)).astype(int)
    assert pixels.shape == (32, 32, 3)
    assert not np.array_equal(pixels, plain)
    assert np.ptp(pixels, axis=-1).mean() < 0.5 * np.ptp(plain, axis=-1).mean()


def test_splits_share_no_picture() -> None:
    train, again, val = load_objects("train", 2), load_objects("train", 2), load_objects("val", 2)
    assert np.array_equal(np.asarray(train[1]), np.asarray(again[1]))
    assert not np.array_equal(np.asarray(train[1]), np.asarray(val[1]))
    assert train.split_hash() == again.split_hash() != val.split_hash()


def test_objects_are_in_full_view() -> None:
    for seed in range(len(KINDS)):
        (thing,) = sample_object_scene(seed).objects
        assert thing.kind == KINDS[seed]
        assert thing.present


@pytest.mark.parametrize(
    ("split", "kinds", "message"),
    [("captions", KINDS, "no image split 'captions'"), ("val", ("unicorn",), "draws no 'unicorn'")],
)
def test_wrong_request_is_refused(split: str, kinds: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_objects(split, 2, classnames=kinds)
