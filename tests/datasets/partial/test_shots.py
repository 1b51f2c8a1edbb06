from __future__ import annotations

import pytest

from clipprompt.datasets.partial.learnt import hash_labels
from clipprompt.datasets.partial.shots import draw_shots
from clipprompt.errors import UserError
from tests.datasets.partial.sets import make_set, random_set

PHOTOS = random_set(300, 12)
EVERY = pytest.mark.parametrize("shots", [1, 2, 4, 8, 16])


@EVERY
@pytest.mark.parametrize("seed", [1, 2])
def test_every_class_has_its_shots_and_pictures_to_select_by(shots: int, seed: int) -> None:
    train, val = draw_shots(PHOTOS, shots, seed)
    assert val is not None
    assert ((train.targets == 1).sum(axis=0) >= shots).all()
    assert ((val.targets == 1).sum(axis=0) >= min(shots, 4)).all()
    assert len(train) <= shots * 12
    assert len(val) <= min(shots, 4) * 12
    assert not set(train.ids) & set(val.ids)


@EVERY
def test_pictures_come_once_in_the_sets_order_with_all_their_labels(shots: int) -> None:
    train, _ = draw_shots(PHOTOS, shots, 1)
    assert list(train.ids) == sorted(set(train.ids))
    rows = [PHOTOS.ids.index(name) for name in train.ids]
    assert (train.targets == PHOTOS.targets[rows]).all()
    assert (train.targets == 1).any(axis=1).all()


@pytest.mark.parametrize(("shots", "more"), [(1, 2), (2, 4), (4, 8), (8, 16)])
def test_few_shots_are_among_more(shots: int, more: int) -> None:
    assert set(draw_shots(PHOTOS, shots, 3)[0].ids) < set(draw_shots(PHOTOS, more, 3)[0].ids)


def test_a_seed_fixes_a_draw_and_another_changes_it() -> None:
    first, again, other = (draw_shots(PHOTOS, 4, seed)[0] for seed in (1, 1, 2))
    assert hash_labels(first) == hash_labels(again) != hash_labels(other)


def test_draws_are_the_same_in_every_version() -> None:
    train, val = draw_shots(make_set([[1, 0], [1, 0], [0, 1], [0, 1], [1, 1], [0, 0]], "ab"), 1, seed=1)
    assert val is not None
    assert ([*train.ids], [*val.ids]) == (["000000.jpg", "000002.jpg"], ["000003.jpg", "000004.jpg"])


def test_a_class_with_fewer_gives_all_and_is_named() -> None:
    train, val = draw_shots(make_set([[1, 0], [1, 0], [1, 1], [0, -1]], ["cat", "dog"]), 3, 1)
    assert (len(train), val) == (3, None)
    assert train.notes == ("photos: fewer than 3 pictures, all of them taken: dog (1)",)


def test_many_classes_with_fewer_are_counted() -> None:
    train, _ = draw_shots(make_set([[1] * 7], "abcdefg"), 2, 1)
    assert train.notes[0].endswith("a (1), b (1), c (1), d (1), e (1) and 2 more")


@pytest.mark.parametrize(
    ("targets", "shots", "seed", "message"),
    [
        pytest.param([[1, 0]], 0, 1, "shots=0 leaves nothing to learn from", id="none"),
        pytest.param([[1, 0]], 1, -1, "seed -1 is below 0", id="seed"),
        pytest.param([[0, -1]], 1, 1, "photos: no picture has a class that is known to be present", id="no class"),
    ],
)
def test_a_wrong_draw_is_told_in_one_line(targets: list[list[int]], shots: int, seed: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        draw_shots(make_set(targets, "ab"), shots, seed)
