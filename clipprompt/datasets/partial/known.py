"""Draws which labels of a set are known; nothing that the set does not know becomes known.

A share: u ~ U(0, 1) for every pair of a picture and a class, in the set's order; known is what has u < share. So what
is known at 10 % is known at 20 % too, by the same seed. Labels are left out at random, present and absent ones alike,
as in Durand et al. 2019 (arXiv 1902.09720) and DualCoOp (Sun 2022, arXiv 2206.09541).

A single positive: of every picture one of its present classes is kept, and everything else becomes unknown (Cole et al.
2021, arXiv 2106.09708).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from clipprompt.datasets.images import PRESENT, UNKNOWN, MultiLabelImages
from clipprompt.errors import UserError, nearest
from clipprompt.printable import counted, listed

SINGLE_POSITIVE: Final = "single-positive"
Known = float | Literal["single-positive"]
"""What is known: a share of all labels, or one present label of each picture."""
_ALLOWED = f"give one above 0 and up to 1, such as 0.1, or {SINGLE_POSITIVE}"
_SHARE, _POSITIVE = 1, 2  # streams of a seed; that of shots is 3


def parse_known(text: str) -> Known:
    """What a user writes for it: ``0.1`` or ``single-positive``.

    Raises:
        UserError: if it is neither a share above 0 and up to 1 nor ``single-positive``.
    """
    word = text.strip().lower()
    if word == SINGLE_POSITIVE:
        return SINGLE_POSITIVE
    try:
        share = float(word)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise UserError(f"known {text!r} is no share of the labels{nearest(word, [SINGLE_POSITIVE])}; {_ALLOWED}")
    return share


def draw_known(images: MultiLabelImages, share: float, seed: int) -> MultiLabelImages:
    """The set with a share of its labels known.

    Args:
        images: N images, C classes.
        share: of the N x C labels, above 0 and at most 1. Of what the set itself knows about this share stays.
        seed: of the draw, 0 or more.

    Raises:
        UserError: for another share or seed.
    """
    if not 0 < share <= 1:
        raise UserError(f"known={share:g} is no share of the labels; {_ALLOWED}")
    drawn = seeded(seed, _SHARE).random(images.targets.shape)
    return _keep(images, drawn < share, f"{share:g}")


def single_positive(images: MultiLabelImages, seed: int) -> MultiLabelImages:
    """The set with one present label of each picture known, all of them equally likely, and nothing else.

    A picture without any present class keeps no label.

    Args:
        images: N images, C classes.
        seed: of the draw, 0 or more.

    Raises:
        UserError: if the seed is below 0.
    """
    drawn = seeded(seed, _POSITIVE).random(images.targets.shape)
    drawn[images.targets != PRESENT] = -1
    kept = np.zeros(drawn.shape, dtype=bool)
    kept[np.arange(len(images)), drawn.argmax(axis=1)] = True
    return _keep(images, kept & (images.targets == PRESENT), SINGLE_POSITIVE)


def only_labelled(images: MultiLabelImages) -> MultiLabelImages:
    """The pictures with at least one known label; how many were left out is noted.

    Raises:
        UserError: if there is none.
    """
    kept = np.flatnonzero((images.targets != UNKNOWN).any(axis=1)).tolist()
    if not kept:
        raise UserError(
            f"{images.name}: no label of its {counted(len(images), 'picture')} is known; let more of them be known"
        )
    if len(kept) == len(images):
        return images
    n_left_out = len(images) - len(kept)
    note = f"{images.name}: {n_left_out:,} of {len(images):,} pictures have no known label and are left out"
    return images.subset(kept).with_notes(note)


def never_present(images: MultiLabelImages) -> tuple[str, ...]:
    """The classes that no picture is known to have, in their order."""
    some = (images.targets == PRESENT).any(axis=0)
    return tuple(name for name, has_one in zip(images.classnames, some, strict=True) if not has_one)


def note_never_present(images: MultiLabelImages) -> Sequence[str]:
    """A line that names the classes that no picture is known to have; nothing where all have one."""
    if not (names := never_present(images)):
        return ()
    unsure = (images.targets[:, ~(images.targets == PRESENT).any(axis=0)] == UNKNOWN).any()
    return (f"{images.name} has no picture{' known to be' if unsure else ''} of {listed(names)}",)


def seeded(seed: int, stream: int) -> np.random.Generator:
    """A generator of its own for each kind of draw, so that one does not tell anything of another.

    Raises:
        UserError: if the seed is below 0.
    """
    if seed < 0:
        raise UserError(f"seed {seed} is below 0; give 0 or more")
    return np.random.default_rng([seed, stream])


def _keep(images: MultiLabelImages, kept: npt.NDArray[np.bool_], option: str) -> MultiLabelImages:
    targets = np.where(kept, images.targets, np.int8(UNKNOWN))
    return replace(images, targets=targets).with_notes(known=option)
