from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clipprompt.datasets.partial.class_groups import class_groups
from clipprompt.datasets.partial.known import Known, draw_known
from clipprompt.datasets.partial.label_file import write_labels
from clipprompt.datasets.partial.learnt import Learnt, learnt_labels
from clipprompt.datasets.partial.shots import draw_shots
from clipprompt.errors import UserError
from tests.datasets.partial.sets import make_set, random_set

PHOTOS = random_set(300, 12)


def as_dict(learnt: Learnt) -> dict[str, list[int]]:
    return dict(zip(learnt.train.ids, learnt.train.targets.tolist(), strict=True))


def test_without_a_choice_all_is_learnt() -> None:
    learnt = learnt_labels(PHOTOS, seed=1)
    assert (learnt.train.ids, learnt.val) == (PHOTOS.ids, None)
    n_known, n_present = (int(labels.sum()) for labels in (PHOTOS.targets != -1, PHOTOS.targets == 1))
    share = f"{n_known / 3600:.1%}"
    note = f"photos: {n_known:,} labels of 300 pictures are known ({share}), {n_present} present"
    assert learnt.train.notes == (note,)
    assert learnt_labels(make_set([[1, 0]], "ab"), seed=1).train.notes == ()


def test_one_known_label_of_one_picture_is_no_plural() -> None:
    (note,) = learnt_labels(make_set([[1, -1]], "ab"), seed=1).train.notes
    assert note == "photos: 1 label of 1 picture is known (50.0%), 1 present"


@pytest.mark.parametrize("known", [0.3, "single-positive"])
def test_known_labels_do_not_depend_on_the_shots(known: Known) -> None:
    whole, few = (as_dict(learnt_labels(PHOTOS, seed=1, known=known, shots=shots)) for shots in (None, 2))
    assert 12 < len(few) < len(whole)
    assert few.items() <= whole.items()


def test_shots_do_not_depend_on_the_known_labels() -> None:
    learnt = learnt_labels(PHOTOS, seed=1, known=0.9, shots=2)
    assert learnt.train.ids == draw_shots(PHOTOS, 2, 1)[0].ids
    assert learnt.val is not None
    assert learnt.train.options == learnt.val.options == {"known": "0.9", "shots": "2"}


def test_pictures_without_known_label_are_left_out() -> None:
    learnt = learnt_labels(PHOTOS, seed=1, known="single-positive")
    assert len(learnt.train) == int((PHOTOS.targets == 1).any(axis=1).sum())
    assert "pictures have no known label and are left out" in learnt.train.notes[0]


def test_a_subset_has_its_columns_and_pictures_that_have_one_of_them() -> None:
    learnt, seen = learnt_labels(PHOTOS, seed=1, subset="base"), class_groups(PHOTOS, "photos")[0]
    columns = PHOTOS.with_classes(seen)
    assert learnt.train.classnames == seen
    assert (learnt.train.targets == columns.targets[(columns.targets == 1).any(axis=1)]).all()


def test_a_file_names_the_labels_and_the_draw_leaves_some_of_them(tmp_path: Path) -> None:
    write_labels(draw_known(PHOTOS, 0.5, 9), tmp_path / "known.jsonl")
    given = learnt_labels(PHOTOS, seed=1, labels=tmp_path / "known.jsonl")
    drawn = learnt_labels(PHOTOS, seed=1, labels=tmp_path / "known.jsonl", known=0.5)
    assert as_dict(given) == as_dict(learnt_labels(PHOTOS, seed=9, known=0.5))
    n_given, n_drawn = (int((one.train.targets != -1).sum()) for one in (given, drawn))
    assert 0.45 < n_drawn / n_given < 0.55


def test_a_file_may_name_classes_beyond_the_subset(tmp_path: Path) -> None:
    write_labels(PHOTOS, tmp_path / "all.jsonl")
    assert as_dict(learnt_labels(PHOTOS, seed=1, labels=tmp_path / "all.jsonl", subset="novel")) == as_dict(
        learnt_labels(PHOTOS, seed=1, subset="novel")
    )


def test_pictures_without_labels_of_their_own_take_those_of_the_file(tmp_path: Path) -> None:
    bare = make_set(np.zeros_like(PHOTOS.targets).tolist(), PHOTOS.classnames)
    write_labels(PHOTOS, tmp_path / "all.jsonl")
    for subset in ("all", "base"):
        learnt = [
            learnt_labels(images, seed=1, labels=tmp_path / "all.jsonl", subset=subset) for images in (bare, PHOTOS)
        ]
        assert learnt[0].hash == learnt[1].hash


def test_equal_hashes_are_equal_draws() -> None:
    hashes = [
        learnt_labels(images, seed=seed, known=known).hash
        for images, seed, known in [
            (PHOTOS, 1, 0.5),
            (PHOTOS, 1, 0.5),
            (PHOTOS, 2, 0.5),
            (PHOTOS, 1, 0.6),
            (PHOTOS.with_classes(PHOTOS.classnames[::-1]), 1, 0.5),
            (PHOTOS.subset(range(299)), 1, 0.5),
        ]
    ]
    assert hashes[0] == hashes[1]
    assert len({*hashes}) == 5
    assert len(hashes[0]) == 64


@pytest.mark.parametrize(("seed", "n_val"), [(0, 2), (1, None)])
def test_val_has_only_pictures_with_known_labels(seed: int, n_val: int | None) -> None:
    val = learnt_labels(make_set([[1]] * 30, "a"), seed=seed, known=0.2, shots=8).val
    assert (None if val is None else len(val)) == n_val
    assert val is None or (val.targets == 1).all()


def test_no_label_left_is_told() -> None:
    with pytest.raises(UserError, match="photos: no label of its 1 picture is known; let more of them be known"):
        learnt_labels(make_set([[0, 0]], "ab"), seed=1, known="single-positive")
