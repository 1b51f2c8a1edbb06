"""OxfordPets: ``annotations/trainval.txt`` and ``test.txt``, lines such as ``Abyssinian_100 1 1 1``.

The numbers are class, species and breed, from 1.
"""

from __future__ import annotations

from pathlib import Path

from clipprompt.datasets.classification._split import split_off_val
from clipprompt.datasets.classification.official._listed import Listed, Place, check_path, read_lines
from clipprompt.datasets.classification.sets import Sample
from clipprompt.errors import UserError
from clipprompt.printable import printable


def read(place: Place) -> Listed:
    """A breed's name stands in its pictures' names; in prompts it is lower case."""
    folder = place.base / "annotations"
    parts, how = split_off_val(place.specification.name, _samples(folder / "trainval.txt"))
    return Listed(parts | {"test": _samples(folder / "test.txt")}, "annotations/trainval.txt and test.txt", how)


def _samples(path: Path) -> list[Sample]:
    return [_sample(where, line) for where, line in read_lines(path)]


def _sample(where: str, line: str) -> Sample:
    match line.split():
        case [stem, label, _, _] if label.isdecimal() and int(label) > 0 and "_" in stem:
            return Sample(check_path(where, f"{stem}.jpg"), int(label) - 1, stem.rpartition("_")[0].lower())
    raise UserError(f"{where}: {printable(line[:60])!r} is not of the form 'Abyssinian_100 1 1 1'")
