from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from clipprompt.datasets.classification.sets import Sample
from clipprompt.datasets.classification.share import take_share
from clipprompt.errors import UserError

SIZES = {0: 10, 1: 3, 2: 1}
SAMPLES = [Sample(f"{label}/{n}.jpg", label, str(label)) for n in range(10) for label in SIZES if n < SIZES[label]]


@pytest.mark.parametrize(
    ("share", "counts"),
    [(0.01, {0: 1, 1: 1, 2: 1}), (0.3, {0: 3, 1: 1, 2: 1}), (0.6, {0: 6, 1: 2, 2: 1}), (1.0, SIZES)],
)
def test_a_share_of_each_label_is_taken_and_one_at_least(share: float, counts: dict[int, int]) -> None:
    taken = take_share(SAMPLES, share, 3)
    assert Counter(sample.label for sample in taken) == counts
    assert taken == [sample for sample in SAMPLES if sample in taken]


def test_shares_of_a_seed_lie_within_each_other_and_seeds_differ() -> None:
    taken = [set(take_share(SAMPLES, share / 10, 3)) for share in range(1, 11)]
    assert all(small <= large for small, large in pairwise(taken))
    assert len({frozenset(take_share(SAMPLES, 0.3, seed)) for seed in range(20)}) > 5


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1, float("nan")])
def test_what_is_no_share_is_refused(share: float) -> None:
    with pytest.raises(UserError, match=r"share .* is no part of the pictures"):
        take_share(SAMPLES, share, 1)
