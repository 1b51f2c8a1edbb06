"""A part of a sweep for one of several machines, chosen by hand: every third job, beginning with the second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from clipprompt.errors import UserError

T = TypeVar("T")


@dataclass(frozen=True)
class Shard:
    """The ``number``-th of ``count`` parts, from 1."""

    number: int = 1
    count: int = 1

    def of(self, jobs: Sequence[T]) -> list[T]:
        """Every ``count``-th job, so that all parts have jobs of every method; the parts' union is the whole."""
        return list(jobs[self.number - 1 :: self.count])


def parse_shard(text: str) -> Shard:
    """``3/8`` as the third of eight parts.

    Raises:
        UserError: if it is no part.
    """
    number, slash, count = text.partition("/")
    if not slash or not number.strip().isdecimal() or not count.strip().isdecimal():
        raise UserError(f"--shard {text!r} is not of the form 3/8, the third of eight parts")
    shard = Shard(int(number), int(count))
    if not 1 <= shard.number <= shard.count:
        raise UserError(f"--shard {text}: there are parts 1 to {shard.count}; the first is 1/{shard.count}")
    return shard
