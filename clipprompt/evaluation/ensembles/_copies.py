"""Pictures that two sets share under any name: the same file, the same drawing, or a copy of a file."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Hashable, Iterator
from pathlib import Path

_BYTES = 1 << 16  # two pictures that agree in size and in so many first bytes are one


def n_shared(some: Collection[Hashable], others: Collection[Hashable]) -> int:
    """How many of some pictures are among others.

    Args:
        some: resolved paths of files, and whatever tells drawn pictures apart.
        others: the same. Of both, only files whose sizes are equal are opened.
    """
    same = len({*some} & {*others})
    if same:
        return same
    ours, theirs = _by_size(some), _by_size(others)
    there = {_digest(path) for size in ours.keys() & theirs.keys() for path in theirs[size]} - {None}
    return sum(_digest(path) in there for size in ours.keys() & theirs.keys() for path in ours[size])


def _by_size(keys: Collection[Hashable]) -> dict[int, list[Path]]:
    found: dict[int, list[Path]] = {}
    for path, size in _sizes(keys):
        found.setdefault(size, []).append(path)
    return found


def _sizes(keys: Collection[Hashable]) -> Iterator[tuple[Path, int]]:
    for key in keys:
        if isinstance(key, Path):
            try:
                yield key, key.stat().st_size
            except OSError:  # gone since it was listed: no picture to choose by
                continue


def _digest(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return hashlib.sha256(file.read(_BYTES)).digest()
    except OSError:
        return None
