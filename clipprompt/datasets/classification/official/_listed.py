"""What every reader takes and gives, and what it checks before it believes an entry."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from clipprompt.datasets._checks import first_repeated, read_utf8
from clipprompt.datasets.classification.sets import Sample
from clipprompt.datasets.classification.specifications import Specification
from clipprompt.errors import UserError
from clipprompt.printable import printable


@dataclass(frozen=True)
class Place:
    """Where a set lies.

    Attributes:
        specification: of the set.
        base: its own folder.
        pictures: the folder that paths of samples are relative to.
        parts: that are wanted; others may be left unread where reading them takes long.
    """

    specification: Specification
    base: Path
    pictures: Path
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Listed:
    """What official files say.

    Attributes:
        parts: the samples of each part.
        files: that said it.
        how_split: how they were split where the files do not say it.
        from_folders: whether these files are the folders of the pictures.
        sha256: of the bytes of these files, one after another, where they list all parts.
        notes: lines for people.
    """

    parts: Mapping[str, Sequence[Sample]]
    files: str
    how_split: str = ""
    from_folders: bool = False
    sha256: str | None = None
    notes: tuple[str, ...] = ()


def read_lines(path: Path) -> list[tuple[str, str]]:
    """Each line that is not blank, without blanks around it, behind what an error calls its place.

    Raises:
        UserError: if the file cannot be read, or there is none.
    """
    lines = [(f"{path}, line {number}", line.strip()) for number, line in enumerate(read_utf8(path).split("\n"), 1)]
    if not (kept := [(where, line) for where, line in lines if line]):
        raise UserError(f"{path} is empty; fetch the file again")
    return kept


def check_path(where: str, path: str) -> str:
    """The path of a picture, if it stays in the folder of the pictures.

    Raises:
        UserError: if it does not.
    """
    place = PurePosixPath(path)
    if place.is_absolute() or ".." in place.parts or not place.parts:
        raise UserError(f"{where}: path {printable(path)!r} is not relative to the folder of the pictures")
    return path


def check_disjoint(parts: Mapping[str, Sequence[Sample]], files: Mapping[str, Path]) -> None:
    """Checks that no picture is listed twice: what is tested on would have been learnt from.

    Raises:
        UserError: naming the first that is.
    """
    first: dict[str, str] = {}
    for part, samples in parts.items():
        for sample in samples:
            if (before := first.setdefault(sample.path, part)) != part:
                both = f"{files[before].name} and {files[part].name}"
                raise UserError(f"{files[part]}: {printable(sample.path)} stands in {both}; a picture is of one part")
        if len({sample.path for sample in samples}) != len(samples):
            twice = first_repeated(sample.path for sample in samples)
            raise UserError(f"{files[part]}: {printable(str(twice))} is there twice; take one of them out")


def hash_files(paths: Iterable[Path]) -> str:
    """SHA-256 of the bytes of files, one after another."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def number_classes(path: Path) -> dict[str, int]:
    """The labels of a file that has one class a line.

    Raises:
        UserError: if a class is there twice.
    """
    labels: dict[str, int] = {}
    for where, name in read_lines(path):
        if name in labels:
            raise UserError(f"{where}: class {printable(name)!r} is there twice")
        labels[name] = len(labels)
    return labels


def label_of(where: str, name: str, labels: Mapping[str, int], classes: Path) -> int:
    """The label of a class that a list names.

    Raises:
        UserError: if the file of the classes does not have it.
    """
    if name not in labels:
        raise UserError(f"{where}: class {printable(name)!r} is not in {classes.name}; are both files of one set?")
    return labels[name]
