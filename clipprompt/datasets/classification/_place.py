"""The folder of a set below ``--root``, and how a set that was unpacked elsewhere gets there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from clipprompt.datasets._extract import move
from clipprompt.datasets.classification.named import find_base
from clipprompt.datasets.classification.specifications import SPECIFICATIONS, Specification
from clipprompt.errors import UserError

_LISTS = (".json", ".txt", ".mat")
_PICKLES = (".pkl", ".pickle")
_DEPTH = 3


def home_of(specification: Specification, root: Path) -> Path:
    """The set's own folder, where it is or where it shall be; where a link leads, since nothing moves across disks."""
    try:
        home = find_base(specification, root)
    except UserError:
        folder = PurePosixPath(specification.folder)
        is_collection = folder.parent.name != "" and root.resolve().name == folder.parent.name
        home = root / (folder.name if is_collection else folder)
    return home.resolve()


def others_in_archive(specification: Specification, home: Path) -> Iterator[tuple[Specification, Path]]:
    """The other sets of a set's archive, with the folders beside ``home`` that shall be theirs.

    There are none where a set lies outside the folder of its collection: those beside it may be of other sets then.
    """
    if home.parent.name != PurePosixPath(specification.folder).parent.name:
        return
    for other in SPECIFICATIONS.values():
        same = (other.repository, other.archive) == (specification.repository, specification.archive)
        if same and other.name != specification.name:
            yield other, home.parent / PurePosixPath(other.folder).name


def holds(beside: Path, specification: Specification) -> bool:
    """Whether a set is somewhere in the folder where an archive was unpacked."""
    return next(_homes(beside, specification), None) is not None


def is_pickle(name: str) -> bool:
    """Whether a file is one that may run code when it is read."""
    return name.lower().endswith(_PICKLES)


def stays_packed(name: str) -> bool:
    """Whether something in an archive is none of ours: pickles, CoOp's folder of them, and litter."""
    path = PurePosixPath(name)
    return is_pickle(name) or path.name == ".DS_Store" or not {"__MACOSX", "split_fewshot"}.isdisjoint(path.parts)


def place(beside: Path, specification: Specification, target: Path) -> None:
    """Moves a set from the folder where it was unpacked into its own.

    A folder that is new appears as a whole. One that is there is joined file by file, pictures before the lists that
    name them.

    Args:
        beside: holds the set, at its top or a little below, as its archive has it; on the same disk as ``target``.
        specification: of the set.
        target: will be its folder.

    Raises:
        UserError: if it is not in there, or links are.
    """
    home = next(_homes(beside, specification), None)
    if home is None:
        marks = ", ".join(specification.marks)
        raise UserError(f"what was fetched for {specification.name} holds none of {marks}; nothing was put in place")
    for folder, folders, files in os.walk(home):
        if link := next((name for name in (*folders, *files) if Path(folder, name).is_symlink()), None):
            raise UserError(f"what was fetched for {specification.name} has a link, {link}; nothing was put in place")
    move(home, target, last=lambda name: name.lower().endswith(_LISTS))


def _homes(beside: Path, specification: Specification, depth: int = _DEPTH) -> Iterator[Path]:
    """Folders that hold something that is this set's own; the set's own folder name first, then from the top down."""
    named, name = beside / specification.folder, PurePosixPath(specification.folder).name
    level = [named, beside] if named.is_dir() else [beside]
    is_of_many = name != specification.folder  # then marks are those of any of them
    for _ in range(depth + is_of_many):
        fitting = (place for place in level if not is_of_many or place.name == name)
        yield from (place for place in fitting if any((place / mark).exists() for mark in specification.marks))
        level = [inner for place in level for inner in sorted(place.iterdir()) if inner.is_dir()]
