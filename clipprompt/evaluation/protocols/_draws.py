"""The axes of a protocol: how many pictures, which of their labels, which halves of the classes, and the seed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple, TypeVar

from clipprompt.datasets.partial.known import SINGLE_POSITIVE
from clipprompt.errors import UserError, nearest
from clipprompt.evaluation.protocols._yaml import Protocol
from clipprompt.evaluation.protocols.methods import Method

N = TypeVar("N", int, int | None)


class Draw(NamedTuple):
    """See :class:`clipprompt.evaluation.protocols.jobs.Job`."""

    shots: int | None
    known: float | str | None
    class_split: int
    seed: int | None
    share: float | None = None

    def seen_by(self, method: Method) -> Draw:
        """What of it makes a difference to a method: to one of captions no picture and no label does."""
        if method.learns_from in ("images", "both"):
            return self
        return Draw(None, None, self.class_split, None if method.learns_from is None else self.seed)


def make_draws(
    protocol: Protocol,
    seeds: Sequence[int] | None,
    shots: Sequence[int | None] | None,
    class_splits: Sequence[int],
    known: Sequence[float | str | None] | None,
    shares: Sequence[float] | None = None,
) -> list[Draw]:
    """All combinations, by shots, then known labels, class split, seed and share; None stands for the protocol's.

    Raises:
        UserError: for a number that is too low, a share that is none, and for what the protocol has no use for.
    """
    if shots is not None and not protocol.learns:
        raise UserError(f"--shots has no use in {protocol.name}, where nothing is learnt")
    if any(class_splits) and not protocol.halves_classes:
        raise UserError(f"--class-splits has no use in {protocol.name}, where all classes are learnt and tested")
    if known is not None and not protocol.multilabel:
        raise UserError(f"--known has no use in {protocol.name}, where each picture has one class, and that is known")
    if shares is not None and not protocol.variants:
        raise UserError(f"--shares has no use in {protocol.name}; it is for visual-tuning")
    splits = _checked("class split", class_splits, 0)
    if not protocol.learns:
        return [Draw(None, None, split, None) for split in splits]
    axes = (
        _checked("shots", protocol.shots if shots is None else shots, 1),
        _checked_known(protocol.known if known is None else known),
        splits,
        _checked("seed", protocol.seeds if seeds is None else seeds, 0),
        _checked_shares((1.0,) if shares is None else shares),
    )
    return [Draw(*one) for one in product(*axes)]


def _checked(name: str, numbers: Sequence[N], least: int) -> list[N]:
    """Numbers, each once."""
    if not numbers:
        raise UserError(f"no {name} is given; give {least} or more")
    if low := [number for number in numbers if number is not None and number < least]:
        raise UserError(f"{name} {low[0]} is too low; give {least} or more")
    return list(dict.fromkeys(numbers))


def _checked_shares(given: Sequence[float]) -> list[float | None]:
    """Shares, each once; None is all of the pictures."""
    for one in given:
        if not 0 < one <= 1:
            raise UserError(f"share {one:g} is no part of the training pictures; give one above 0 and up to 1, as 0.1")
    if not given:
        raise UserError("no share is given; give parts of the training pictures, such as 0.1,0.5,1")
    return list(dict.fromkeys(None if one == 1 else float(one) for one in given))


def _checked_known(given: Sequence[float | str | None]) -> list[float | str | None]:
    if not given:
        raise UserError(f"no known labels are given; give shares such as 0.1,0.5, or {SINGLE_POSITIVE}")
    for one in given:
        if isinstance(one, str) and one != SINGLE_POSITIVE:
            hint = nearest(one, [SINGLE_POSITIVE])
            raise UserError(f"known labels {one!r} are neither a share, such as 0.1, nor {SINGLE_POSITIVE}{hint}")
        if not isinstance(one, str) and one is not None and not 0 < one <= 1:
            raise UserError(f"known labels {one:g} are no share; give a number above 0 and up to 1, such as 0.1")
    # All labels are all labels, whether the share says so or nothing does.
    return list(
        dict.fromkeys(None if one == 1 else one if isinstance(one, str | None) else float(one) for one in given)
    )
