from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
import pytest

from clipprompt.datasets.images import MultiLabelImages
from clipprompt.datasets.partial.known import (
    draw_known,
    never_present,
    note_never_present,
    only_labelled,
    parse_known,
    single_positive,
)
from clipprompt.datasets.partial.learnt import hash_labels
from clipprompt.errors import UserError
from tests.datasets.partial.sets import make_set, random_set

SHARES = [round(tenths / 10, 1) for tenths in range(1, 10)]
PHOTOS = random_set(400, 20)
Draw = Callable[[MultiLabelImages, int], MultiLabelImages]
DRAWS: list[Draw] = [
    single_positive,
    *(lambda images, seed, share=share: draw_known(images, share, seed) for share in SHARES),
]
every_draw = pytest.mark.parametrize("draw", DRAWS, ids=["single-positive", *map(str, SHARES)])


@pytest.mark.parametrize(("share", "more"), list(pairwise(SHARES)))
def test_what_is_known_at_a_share_is_known_at_the_next(share: float, more: float) -> None:
    few, many = draw_known(PHOTOS, share, 3).targets, draw_known(PHOTOS, more, 3).targets
    assert ((few == many) | (few == -1)).all()
    assert ((few != -1).sum(axis=1) <= (many != -1).sum(axis=1)).all()
    assert (few != -1).sum() < (many != -1).sum()


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_share_is_met_as_coins_meet_it(share: float, seed: int) -> None:
    before, after = (int((images.targets != -1).sum()) for images in (PHOTOS, draw_known(PHOTOS, share, seed)))
    assert abs(after - share * before) < 4 * (before * share * (1 - share)) ** 0.5


@every_draw
def test_a_draw_invents_no_label_and_keeps_pictures_and_classes(draw: Draw) -> None:
    drawn = draw(PHOTOS, 1)
    kept = drawn.targets != -1
    assert (drawn.targets[kept] == PHOTOS.targets[kept]).all()
    assert (drawn.ids, drawn.classnames, drawn.targets.dtype) == (PHOTOS.ids, PHOTOS.classnames, np.int8)


@every_draw
def test_a_seed_fixes_a_draw_and_another_changes_it(draw: Draw) -> None:
    assert hash_labels(draw(PHOTOS, 5)) == hash_labels(draw(PHOTOS, 5)) != hash_labels(draw(PHOTOS, 6))


@pytest.mark.parametrize(
    ("draw", "digest"),
    [(partial(draw_known, share=0.1), "d866f854d93fef2d"), (single_positive, "1aa88cfd11d1db6c")],
    ids=["share", "single-positive"],
)
def test_draws_are_the_same_in_every_version(draw: Callable[..., MultiLabelImages], digest: str) -> None:
    drawn = draw(make_set([[1, 0, 1, -1, 1], [0, 1, 0, 1, 0]] * 8, "abcde"), seed=1)
    assert hash_labels(drawn)[:16] == digest


def test_all_known_is_the_set_itself() -> None:
    assert (draw_known(PHOTOS, 1.0, 1).targets == PHOTOS.targets).all()


def test_a_single_positive_keeps_one_present_label_and_nothing_else() -> None:
    targets = single_positive(PHOTOS, 1).targets
    has_class = (PHOTOS.targets == 1).any(axis=1)
    assert not (targets == 0).any()
    assert ((targets == 1).sum(axis=1) == has_class).all()
    assert 0 < has_class.sum() < len(PHOTOS)


def test_each_positive_of_a_picture_is_as_likely() -> None:
    counts = (single_positive(make_set([[1, 0, 1, 1]] * 3000, "abcd"), 1).targets == 1).sum(axis=0)
    assert counts[1] == 0
    assert (abs(counts[[0, 2, 3]] - 1000) < 4 * (3000 * 2 / 9) ** 0.5).all()


def test_shares_and_positives_of_a_seed_tell_nothing_of_each_other() -> None:
    images = make_set([[1, 1]] * 4000, "ab")
    share, positive = draw_known(images, 0.5, 1).targets == 1, single_positive(images, 1).targets == 1
    assert abs((share & positive).sum() - 2000) < 4 * 4000**0.5 / 2


def test_pictures_without_known_label_are_left_out_and_counted() -> None:
    kept = only_labelled(make_set([[-1, -1], [0, -1], [-1, 1]], "ab"))
    assert kept.ids == ("000001.jpg", "000002.jpg")
    assert kept.notes == ("photos: 1 of 3 pictures have no known label and are left out",)
    assert only_labelled(kept).notes == kept.notes


def test_classes_that_no_picture_has_are_named() -> None:
    assert never_present(make_set([[0, 1, -1], [-1, 0, -1]], "abc")) == ("a", "c")


@pytest.mark.parametrize(("text", "known"), [("0.1", 0.1), ("1", 1.0), (" Single-Positive ", "single-positive")])
def test_what_users_write(text: str, known: float | str) -> None:
    assert parse_known(text) == known


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        pytest.param(lambda: draw_known(PHOTOS, 0.0, 1), r"known=0 is no share .* above 0 and up to 1", id="nothing"),
        pytest.param(lambda: draw_known(PHOTOS, 1.5, 1), r"known=1\.5 is no share of the labels", id="above one"),
        pytest.param(lambda: draw_known(PHOTOS, float("nan"), 1), r"known=nan is no share", id="not a number"),
        pytest.param(lambda: draw_known(PHOTOS, 0.5, -1), r"seed -1 is below 0", id="seed of a share"),
        pytest.param(lambda: single_positive(PHOTOS, -2), r"seed -2 is below 0", id="seed of positives"),
        pytest.param(lambda: parse_known("10"), r"known '10' is no share of the labels; give", id="percent"),
        pytest.param(lambda: parse_known("single-pos"), r"\(did you mean 'single-positive'\?\)", id="half a word"),
        pytest.param(lambda: parse_known("nan"), r"known 'nan' is no share", id="nan as text"),
        pytest.param(
            lambda: only_labelled(make_set([[-1]], "a")), r"no label of its 1 picture is known", id="none left"
        ),
    ],
)
def test_a_wrong_draw_is_told_in_one_line(draw: Callable[[], object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        draw()


@pytest.mark.parametrize(
    ("rows", "note"),
    [
        ([[0, 1, -1], [0, 1, 0]], "known to be of a, c"),
        ([[0, 1, 0], [-1, 1, 0]], "known to be of a, c"),
        ([[0, 1, 0], [0, -1, 0]], "of a, c"),
        ([[1, 1, 1], [-1, 0, 0]], None),
    ],
)
def test_only_what_is_known_of_all_pictures_is_said_of_all(rows: list[list[int]], note: str | None) -> None:
    images = make_set(rows, "abc")
    assert list(note_never_present(images)) == [f"{images.name} has no picture {note}"] * (note is not None)
