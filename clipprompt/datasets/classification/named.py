"""Loads a named set: CoOp's split file where it is there, otherwise the official files, split as CoOp does."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from clipprompt.datasets._checks import MissingPicturesError
from clipprompt.datasets.classification.official import Place, read_official
from clipprompt.datasets.classification.sets import PARTS, ClassificationSet, Sample
from clipprompt.datasets.classification.specifications import SPECIFICATIONS, Specification
from clipprompt.datasets.classification.split_file import read_split_file
from clipprompt.errors import UserError, advise
from clipprompt.printable import printable


def load_named(
    specification: Specification,
    root: str | Path | None,
    images: str | Path | None = None,
    parts: Sequence[str] = PARTS,
) -> ClassificationSet:
    """Reads which pictures belong to which part and class. No picture is opened, and none that a list names looked for.

    Args:
        specification: of the set.
        root: the folder that holds the set's folder, or that folder itself.
        images: the folder of the pictures, where it is not the official one.
        parts: that are wanted; where parts are folders (ImageNet), the others are not listed. None of them may be
            among those of the set, which then says so when it is asked for one.

    Raises:
        UserError: if something is missing or broken; the file and the entry are named.
    """
    if root is None:
        raise UserError(f"{specification.name} needs --root, the folder that holds {specification.folder}")
    base = find_base(specification, Path(root))
    pictures = Path(images) if images is not None else base / specification.images
    wanted = tuple(part for part in parts if part in specification.sizes) or tuple(specification.sizes)
    split_file = base / specification.split_file if specification.split_file else None
    try:
        if split_file is not None and os.path.lexists(split_file):  # a link that leads nowhere is told, not passed over
            dataset = _from_split_file(specification, split_file, pictures)
        else:
            dataset = _from_official(Place(specification, base, pictures, wanted))
        return _compare_sizes(dataset, specification)
    except UserError as error:
        if images is not None and isinstance(error, MissingPicturesError):
            raise advise(error, "is --images the right folder?") from error  # a download would not go there
        raise advise(error, specification.next_step(str(root))) from error


def find_base(specification: Specification, root: Path) -> Path:
    """The set's own folder: below ``root``, or ``root`` itself.

    Raises:
        UserError: if there is none.
    """
    for folder in (specification.folder, *specification.other_folders):
        if (root / folder).is_dir():
            return root / folder
    name = PurePosixPath(specification.folder).name
    if name == specification.folder:
        if root.is_dir() and (_is_called(root, name) or _is_marked(root, specification)):
            return root
    else:  # one of a collection, which may be called otherwise; the marks are those of each of them
        for place in (root / name, root):
            if _is_called(place, name) and _is_marked(place, specification):
                return place
    what = f"there is no {specification.folder} in it" if root.is_dir() else "it is not a folder"
    raise UserError(
        f"no {specification.title} at --root {printable(root)}: {what}; {specification.next_step(str(root))}"
    )


def _is_called(folder: Path, name: str) -> bool:
    return name in (folder.name, folder.resolve().name)


def _is_marked(folder: Path, specification: Specification) -> bool:
    return any((folder / mark).exists() for mark in specification.marks)


def _from_split_file(specification: Specification, path: Path, pictures: Path) -> ClassificationSet:
    split = read_split_file(path)
    _check_owner(specification, path, pictures, split.parts)
    return ClassificationSet(
        name=specification.name,
        parts=split.parts,
        folder=pictures,
        files=path.name,
        source_sha256=split.sha256,
        notes=split.notes,
    )


def _from_official(place: Place) -> ClassificationSet:
    specification = place.specification
    listed = read_official(place)
    dataset = ClassificationSet(
        name=specification.name,
        parts=listed.parts,
        folder=place.pictures,
        files=listed.files,
        source_sha256=listed.sha256,
        how_split=listed.how_split,
        from_folders=listed.from_folders,
        notes=listed.notes,
    )
    if not specification.split_file:
        return dataset
    what = f"{specification.name}: there is no {specification.split_file} in {printable(place.base)}"
    note = f"{what}; read {dataset.source}: numbers do not compare with papers"
    return replace(dataset, notes=(*dataset.notes, note))


def _compare_sizes(dataset: ClassificationSet, specification: Specification) -> ClassificationSet:
    """Says whether, and notes where a set is not of the official size: half a download, or a split of one's own."""
    sizes = {part: len(samples) for part, samples in dataset.parts.items()}
    official = {part: specification.sizes.get(part, 0) for part in sizes}
    n_classes = len(dataset.classnames)
    if sizes == official and n_classes == specification.n_classes:
        notes = dataset.notes
        if dataset.source_sha256 and specification.split_sha256 not in ("", dataset.source_sha256):
            note = f"{dataset.files} is not the file that CoOp published, though of the same size"
            notes = (*notes, f"{dataset.name}: {note}: numbers may not compare")
        return replace(dataset, official_size=True, notes=notes)
    ours = f"{_slashed(sizes)} pictures in {'/'.join(sizes)} of {n_classes:,} classes"
    note = (
        f"{dataset.name} has {ours} where the official set has {_slashed(official)} of {specification.n_classes:,}: "
        "numbers do not compare"
    )
    return replace(dataset, official_size=False, notes=(*dataset.notes, note))


def _slashed(sizes: Mapping[str, int]) -> str:
    return "/".join(f"{size:,}" for size in sizes.values())


def _check_owner(
    specification: Specification, path: Path, pictures: Path, parts: Mapping[str, Sequence[Sample]]
) -> None:
    """Refuses another set's split file: one of its exact size, or one that names none of the pictures that are there.

    One picture of each class is looked for, until one is found.
    """
    firsts = {sample.label: sample.path for samples in reversed([*parts.values()]) for sample in reversed(samples)}
    sizes = {part: len(samples) for part, samples in parts.items()}
    others = [other for other in SPECIFICATIONS.values() if other is not specification]
    for other in others:
        if other.split_file and other.sizes == sizes and other.n_classes == len(firsts):
            raise UserError(
                f"{path} is that of {other.title}, by its numbers of classes and pictures; put its own there"
            )
    if not _holds_pictures(specification, path.parent, pictures) or _any_there(pictures, firsts.values()):
        return
    listed = f"{path}: {printable(firsts[min(firsts)])} is not in {printable(pictures)}, nor is one of any other class"
    for other in others:
        if _any_there(path.parent.parent / other.folder / other.images, firsts.values()):
            raise UserError(f"{listed}; it seems to be the split file of {other.title}")
    raise MissingPicturesError(f"{listed}; is it the split file of this set, and are its pictures unpacked?")


def _holds_pictures(specification: Specification, base: Path, pictures: Path) -> bool:
    """Whether there are pictures to look for; a draw can be made without."""
    inside = specification.images != "." or any((base / mark).is_dir() for mark in specification.marks)
    return pictures.is_dir() and inside


def _any_there(folder: Path, paths: Iterable[str]) -> bool:
    return folder.is_dir() and any((folder / path).is_file() for path in paths)
