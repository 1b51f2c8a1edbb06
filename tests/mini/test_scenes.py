from __future__ import annotations

from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest

from clipprompt.errors import UserError
from clipprompt.mini._place import visible_fractions
from clipprompt.mini.render import render_scene
from clipprompt.mini.scenes import KINDS, SPLITS, VOC_CLASSES, Scene, sample_scene, scene_split, split_seeds

VOC_ORDER = (
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant "
    "sheep sofa train tvmonitor"
)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return scene_split("val", 300)


def test_voc_classes_have_their_official_names_and_order() -> None:
    assert " ".join(VOC_CLASSES) == VOC_ORDER


def test_there_are_twenty_more_kinds() -> None:
    assert KINDS[:20] == VOC_CLASSES
    assert len(set(KINDS)) == len(KINDS) == 40


def test_a_seed_is_a_scene() -> None:
    assert sample_scene(7) == sample_scene(7)
    assert sample_scene(7) != sample_scene(8)


def test_scenes_have_one_to_five_objects(scenes: list[Scene]) -> None:
    assert {len(scene.objects) for scene in scenes} == {1, 2, 3, 4, 5}


def test_every_kind_and_every_background_occurs(scenes: list[Scene]) -> None:
    assert {thing.kind for scene in scene_split("val", 1500) for thing in scene.objects} == set(KINDS)
    assert len({scene.background for scene in scenes}) == 12


def test_every_voc_class_is_labelled_often_enough_to_be_scored() -> None:
    counts = np.array([scene.labels() for scene in scene_split("test", 500)]).sum(0)
    assert counts.min() >= 8


def test_labels_follow_the_order_of_the_classes(scenes: list[Scene]) -> None:
    scene = next(scene for scene in scenes if sum(scene.labels(KINDS)) == 2)
    present = {thing.kind for thing in scene.present}
    assert [name for name, label in zip(KINDS, scene.labels(KINDS), strict=True) if label] == [
        name for name in KINDS if name in present
    ]
    assert scene.labels(KINDS)[:20] == scene.labels()


def test_what_is_labelled_is_seen_in_the_picture(scenes: list[Scene]) -> None:
    for scene in scenes[:120]:
        picture = np.asarray(render_scene(scene), dtype=int)
        for kind in {thing.kind for thing in scene.present}:
            others = tuple(thing for thing in scene.objects if thing.kind != kind)
            without = np.asarray(render_scene(replace(scene, objects=others)), dtype=int)
            changed = (np.abs(picture - without).max(2) > 10).sum()
            assert changed >= 10, f"{kind} of scene {scene.seed} changes {changed} pixels"


def test_a_hidden_object_is_not_labelled() -> None:
    scene = sample_scene(3)
    hidden = replace(scene.objects[0], kind="cat", visible=0.1)
    tiny = replace(scene.objects[0], kind="cat", box=(0.5, 0.5, 0.05, 0.05), visible=1.0)
    for thing in (hidden, tiny):
        assert sum(replace(scene, objects=(thing,)).labels()) == 0


@pytest.mark.parametrize(
    ("front", "expected"),
    [
        ((0.0, 0.0, 1.0, 1.0), 0.0),
        ((0.7, 0.7, 0.2, 0.2), 1.0),
        ((0.4, 0.2, 0.4, 0.4), 0.5),
    ],
)
def test_visible_fraction_counts_what_stands_in_front(
    front: tuple[float, float, float, float], expected: float
) -> None:
    behind, before = visible_fractions([(0.2, 0.2, 0.4, 0.4), front])
    assert behind == pytest.approx(expected, abs=0.16)
    assert before == 1.0


def test_what_is_off_the_canvas_is_not_seen() -> None:
    assert visible_fractions([(-0.2, 0.3, 0.4, 0.4)])[0] == pytest.approx(0.5, abs=0.1)


def test_splits_share_no_scene() -> None:
    for one, two in combinations(SPLITS, 2):
        assert not set(split_seeds(one, 2000)) & set(split_seeds(two, 2000))
    ends = sorted((split_seeds(name, 100_000_000)[0], split_seeds(name, 100_000_000)[-1]) for name in SPLITS)
    assert all(last < first for (_, last), (first, _) in pairwise(ends))


def test_only_the_kinds_asked_for_are_drawn() -> None:
    novel = ("zebra", "kite", "bench")
    assert {thing.kind for scene in scene_split("extra", 100, novel) for thing in scene.objects} == set(novel)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sample_scene(0, ("aeroplan",)), "aeroplane"),
        (lambda: split_seeds("tests", 10), "test"),
        (lambda: split_seeds("test", -1), "-1"),
    ],
)
def test_mistakes_are_named(call: object, message: str) -> None:
    assert callable(call)
    with pytest.raises(UserError, match=message):
        call()
