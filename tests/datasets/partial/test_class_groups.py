from __future__ import annotations

import pytest

from clipprompt.datasets.partial.class_groups import class_groups, subset_classes, with_any_of
from clipprompt.datasets.specifications import official_classes
from clipprompt.errors import UserError
from tests.datasets.partial.sets import make_set, random_set

COCO = official_classes("coco2014")


def test_cocos_groups_are_those_of_papers() -> None:
    seen, unseen = class_groups(COCO, "coco2014")
    assert (len(seen), len(unseen), len({*seen, *unseen} & {*COCO})) == (48, 17, 65)
    assert unseen[:3] == ("airplane", "bus", "cat")
    assert [*seen] == [name for name in COCO if name in seen]


def test_names_keep_the_spelling_of_the_set() -> None:
    seen, _ = class_groups([name.replace(" ", "_").title() for name in COCO], "own.json")
    assert (len(seen), seen[0]) == (48, "Person")


@pytest.mark.parametrize(
    ("names", "class_split"), [(COCO, 3), (COCO[:79], 0), (official_classes("voc2007"), 0), ("abc", 0)]
)
def test_other_classes_are_halved(names: tuple[str, ...], class_split: int) -> None:
    seen, unseen = class_groups(names, "photos", class_split)
    assert (len(seen), len(unseen)) == ((len(names) + 1) // 2, len(names) // 2)
    assert {*seen, *unseen} == {*names}
    if class_split == 0:
        assert (*seen, *unseen) == tuple(names)


def test_a_seed_fixes_a_halving() -> None:
    assert class_groups(COCO, "coco", 1) == class_groups(COCO, "coco", 1) != class_groups(COCO, "coco", 2)


def test_subsets_of_a_set() -> None:
    photos = random_set(5, 4)
    of = {subset: subset_classes(photos, subset) for subset in ("all", "base", "novel")}
    assert of["all"] == photos.classnames == of["base"] + of["novel"]


def test_pictures_of_other_classes_are_left_out_and_counted() -> None:
    kept = with_any_of(make_set([[1, 0, 0], [0, 1, 1], [0, 0, -1]], ["cat", "dog", "red bus"]), ["Red_Bus", "dog"])
    assert (kept.ids, kept.classnames, kept.targets.tolist()) == (("000001.jpg",), ("Red_Bus", "dog"), [[1, 1]])
    assert kept.notes == ("photos: 1 of 3 pictures have one of the 2 classes",)


@pytest.mark.parametrize(
    ("subset", "class_split", "message"),
    [
        pytest.param("seen", 0, "subset 'seen' is none of all, base, novel", id="other word"),
        pytest.param("base", -1, "class_split=-1 is below 0", id="below 0"),
    ],
)
def test_a_wrong_subset_is_told_in_one_line(subset: str, class_split: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        subset_classes(random_set(5, 4), subset, class_split)


def test_a_single_class_and_no_picture_are_told() -> None:
    with pytest.raises(UserError, match="photos has a single class, 'cat', so none of them is unseen"):
        class_groups(["cat"], "photos")
    with pytest.raises(UserError, match="photos: no picture has one of its 1 classes"):
        with_any_of(make_set([[1, 0]], "ab"), ["b"])
