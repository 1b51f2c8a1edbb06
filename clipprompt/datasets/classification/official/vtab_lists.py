"""VTAB-1k: ``train800.txt``, ``val200.txt`` and ``test.txt``, lines such as ``images/train800/000000.jpg 307``.

A task's folder also has ``train800val200.txt``, the two parts that are learnt from in the end, with copies of their
pictures in a folder of its own. It says nothing new, so it is not read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from clipprompt.datasets.classification.official._listed import (
    Listed,
    Place,
    check_disjoint,
    check_path,
    hash_files,
    read_lines,
)
from clipprompt.datasets.classification.official._shipped import shipped_names
from clipprompt.datasets.classification.sets import Sample
from clipprompt.errors import UserError
from clipprompt.printable import printable

_FILES = {"train": "train800.txt", "val": "val200.txt", "test": "test.txt"}


def read(place: Place) -> Listed:
    """Labels are places in the shipped list of the task's names."""
    names = shipped_names(place.specification.name)
    paths = {part: place.base / file for part, file in _FILES.items()}
    parts = {part: _samples(path, names) for part, path in paths.items()}
    check_disjoint(parts, paths)
    return Listed(parts, ", ".join(_FILES.values()), sha256=hash_files(paths.values()))


def _samples(path: Path, names: Sequence[str]) -> list[Sample]:
    labels = {str(label): label for label in range(len(names))}
    return [_sample(where, line, labels, names) for where, line in read_lines(path)]


def _sample(where: str, line: str, labels: Mapping[str, int], names: Sequence[str]) -> Sample:
    match line.rsplit(maxsplit=1):
        case [path, number] if number in labels:
            return Sample(check_path(where, path), labels[number], names[labels[number]])
        case [_, number] if number.removeprefix("-").isdecimal():
            wanted = f"a class from 0 to {len(names) - 1}"
            raise UserError(f"{where}: {printable(number[:20])} is not {wanted}; is it the list of this task?")
    raise UserError(f"{where}: {printable(line[:60])!r} is not of the form 'images/train800/000000.jpg 3'")
