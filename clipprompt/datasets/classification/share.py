"""A part of the training pictures of each class, drawn so that a small part lies within a larger one."""

from __future__ import annotations

import random
from collections.abc import Sequence

from clipprompt.datasets.classification.sets import Sample
from clipprompt.errors import UserError


def take_share(samples: Sequence[Sample], share: float, seed: int) -> list[Sample]:
    """A share of the samples of each label, rounded to whole ones and one at least, in their order.

    What is taken at 0.1 is taken at 0.5 too, by the same seed.

    Args:
        samples: to draw from.
        share: above 0, at most 1.
        seed: of the draw.

    Raises:
        UserError: if ``share`` is none.
    """
    if not 0 < share <= 1:
        raise UserError(f"share {share} is no part of the pictures; give a number above 0, up to 1 for all of them")
    places: dict[int, list[int]] = {}
    for place, sample in enumerate(samples):
        places.setdefault(sample.label, []).append(place)
    rng, taken = random.Random(seed), set[int]()
    for of_label in places.values():
        shuffled = rng.sample(of_label, len(of_label))
        taken.update(shuffled[: max(1, round(share * len(of_label)))])
    return [sample for place, sample in enumerate(samples) if place in taken]
