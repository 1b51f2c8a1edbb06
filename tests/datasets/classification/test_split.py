"""Splits made here: CoOp's shares to the picture, a class at a time."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from clipprompt.datasets.classification._split import split_in_three, split_off_val
from clipprompt.datasets.classification.sets import Sample
from clipprompt.datasets.classification.specifications import SPECIFICATIONS
from clipprompt.errors import UserError


def _class_of(size: int, label: int = 0) -> list[Sample]:
    return [Sample(f"{label}/{number}.jpg", label, f"class {label}") for number in range(size)]


@pytest.mark.parametrize(
    ("size", "shares"),
    # Python rounds a half to the even number, and so do CoOp's splits: 435 faces are 218, 87 and 130.
    [(4, (2, 1, 1)), (5, (2, 1, 2)), (10, (5, 2, 3)), (31, (16, 6, 9)), (435, (218, 87, 130)), (1000, (500, 200, 300))],
)
def test_half_a_fifth_and_the_rest(size: int, shares: tuple[int, int, int]) -> None:
    parts, _ = split_in_three("x", _class_of(size))
    assert tuple(len(parts[part]) for part in ("train", "val", "test")) == shares


@pytest.mark.parametrize(("size", "shares"), [(3, (2, 1)), (7, (6, 1)), (8, (6, 2)), (100, (80, 20))])
def test_a_fifth_of_the_official_training_part(size: int, shares: tuple[int, int]) -> None:
    parts, _ = split_off_val("x", _class_of(size))
    assert (len(parts["train"]), len(parts["val"])) == shares


@pytest.mark.parametrize("name", ["dtd", "eurosat", "food101"])
def test_shares_of_even_classes_are_the_published_sizes(name: str) -> None:
    one = SPECIFICATIONS[name]
    total = sum(one.sizes.values())
    uneven = [3000] * 5 + [2500] * 4 + [2000]  # EuroSAT's
    counts = uneven if name == "eurosat" else [total // one.n_classes] * one.n_classes
    assert sum(counts) == total
    parts, _ = split_in_three(name, [s for label, count in enumerate(counts) for s in _class_of(count, label)])
    assert {part: len(samples) for part, samples in parts.items()} == one.sizes


def test_nothing_is_lost_or_there_twice_and_classes_keep_their_order() -> None:
    samples = [*_class_of(9, 1), *_class_of(12, 0), *_class_of(5, 2)]
    parts, _ = split_in_three("x", samples)
    assert sorted(s for part in parts.values() for s in part) == sorted(samples)
    for part in parts.values():
        assert list(dict.fromkeys(sample.label for sample in part)) == [1, 0, 2]


def test_a_seed_is_a_split_and_nothing_global_is_touched() -> None:
    samples, state = _class_of(40), random.getstate()
    assert split_in_three("x", samples, 1) == split_in_three("x", samples, 1)
    assert split_in_three("x", samples, 1)[0] != split_in_three("x", samples, 2)[0]
    assert "seed 2" in split_off_val("x", samples, 2)[1]
    assert random.getstate() == state


@pytest.mark.parametrize(("split", "size"), [(split_in_three, 3), (split_in_three, 2), (split_off_val, 2)])
def test_a_class_that_is_too_small_is_named(split: Callable[..., object], size: int) -> None:
    with pytest.raises(UserError, match=rf"x: class 'class 1' has too few pictures to split \({size}\)"):
        split("x", [*_class_of(20), *_class_of(size, 1)])
