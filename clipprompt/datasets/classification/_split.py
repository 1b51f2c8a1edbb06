"""Splits as CoOp makes them where a set brings none: the shares are its own, the draw is ours and has a seed.

Each class has a draw of its own, by the seed and its name: a picture or a class more changes no other class's parts.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from clipprompt.datasets.classification.sets import Sample
from clipprompt.errors import UserError

SEED = 1
"""The original's draw has none that is known, so no other draw is its own."""

Samples = list[Sample]
_TOO_FEW = "has too few pictures to split ({}); {}"
_REMEDY = "put its other pictures back, or fetch CoOp's split file"


def split_in_three(
    name: str, samples: Sequence[Sample], seed: int = SEED, remedy: str = _REMEDY
) -> tuple[dict[str, Samples], str]:
    """50 % of each class to learn from, 20 % to select by, the rest to test on.

    Args:
        name: of the set, for errors.
        samples: in an order that does not depend on the disk.
        seed: of the draw.
        remedy: what to do about a class that has too few pictures, for errors.

    Returns:
        The parts, and how they came about, for reports.

    Raises:
        UserError: if a part would have nothing of a class.
    """
    parts: dict[str, Samples] = {"train": [], "val": [], "test": []}
    for group in _shuffled_classes(samples, seed):
        n_train, n_val = round(len(group) * 0.5), round(len(group) * 0.2)
        if not n_val or n_train + n_val >= len(group):
            raise UserError(f"{name}: class {group[0].classname!r} {_TOO_FEW.format(len(group), remedy)}")
        parts["train"] += group[:n_train]
        parts["val"] += group[n_train : n_train + n_val]
        parts["test"] += group[n_train + n_val :]
    return parts, f"split here into 50 % train, 20 % val and 30 % test of each class, seed {seed}"


def split_off_val(name: str, samples: Sequence[Sample], seed: int = SEED) -> tuple[dict[str, Samples], str]:
    """20 % of each class of the official training part to select by, the rest to learn from; else as above."""
    parts: dict[str, Samples] = {"train": [], "val": []}
    for group in _shuffled_classes(samples, seed):
        n_val = round(len(group) * 0.2)
        if not n_val:
            raise UserError(f"{name}: class {group[0].classname!r} {_TOO_FEW.format(len(group), _REMEDY)}")
        parts["val"] += group[:n_val]
        parts["train"] += group[n_val:]
    return parts, f"val split off here, 20 % of each class of the official training part, seed {seed}"


def _shuffled_classes(samples: Sequence[Sample], seed: int) -> list[Samples]:
    """The samples of each label in random order, labels in the order of their first sample."""
    groups: dict[int, Samples] = {}
    for sample in samples:
        groups.setdefault(sample.label, []).append(sample)
    for group in groups.values():
        random.Random(f"{seed}/{group[0].classname}").shuffle(group)
    return list(groups.values())
