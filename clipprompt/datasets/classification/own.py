"""Data of one's own with one class to each picture: a folder of class folders, or a table of labels.

    photos/cat/a.jpg              path,label            path,label,split
    photos/train/cat/a.jpg        a.jpg,cat             a.jpg,cat,train

What says its parts (on folders: train, val, test; in a table: the column ``split``) keeps them. What does not is split
as CoOp splits a set whose authors do not: 50, 20 and 30 of a hundred pictures of each class, by a fixed seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from clipprompt.datasets._checks import check_distinct, check_folder
from clipprompt.datasets._label_entries import SPLIT_WORDS, Entry, check_unique
from clipprompt.datasets._label_files import TABLES, read_entries
from clipprompt.datasets.classification._split import split_in_three
from clipprompt.datasets.classification.sets import PARTS, ClassificationSet, Sample
from clipprompt.datasets.folders import find_splits, load_class_folders
from clipprompt.datasets.images import PRESENT, UNKNOWN
from clipprompt.errors import UserError
from clipprompt.printable import printable

_TOO_FEW = "give 4 or more, or say yourself what is what: in folders train, val and test, or a column split"


def is_own(spec: str) -> bool:
    """Whether ``spec`` reads as data of one's own: the path of a table or a folder."""
    path = Path(spec.removeprefix("folder:"))
    return path.suffix.lower() in TABLES or path.exists() or "/" in spec


def load_own(spec: str, images: str | Path | None = None) -> ClassificationSet:
    """Reads a folder of class folders, or a table. No picture is opened, or looked for in a table's case.

    Args:
        spec: a folder, or a ``.csv``, ``.tsv`` or ``.jsonl`` file.
        images: the folder that a table's paths are relative to; by default the table's own.

    Raises:
        UserError: naming the folder, or the line, of what is wrong.
    """
    path = Path(spec.removeprefix("folder:"))
    if path.suffix.lower() in TABLES and not path.is_dir():
        if images is not None:
            check_folder(Path(images), images)
        return _load_table(path, Path(images) if images is not None else path.parent)
    if images is not None:
        raise UserError(f"--images {images} has no use with {spec!r}, which holds its pictures; leave it out")
    return _load_folder(path)


def has_several_labels(spec: str) -> bool:
    """Whether ``spec`` is a table of which a picture has several classes or none, or a label that is not known.

    Raises:
        UserError: if the table is there and cannot be read.
    """
    whole, _, split = spec.removeprefix("folder:").rpartition(":")
    table = Path(whole if whole and split in SPLIT_WORDS else spec.removeprefix("folder:"))
    if table.suffix.lower() not in TABLES or not table.is_file():
        return False
    return any(not _has_one_label(entry) for entry in read_entries(table)[1])


def _load_folder(base: Path) -> ClassificationSet:
    splits = find_splits(base) if base.is_dir() else ()
    parts = {SPLIT_WORDS[split]: _samples_of(base, split) for split in splits}
    if len(parts) < len(splits):
        raise UserError(f"{printable(base)} holds one part twice: {', '.join(splits)}; val goes by one name")
    name = printable(base.resolve().name)
    return replace(_made(name, parts or _samples_of(base, ""), base, "its folders"), from_folders=True)


def _samples_of(base: Path, split: str) -> list[Sample]:
    labelled = load_class_folders(base, split)
    labels = labelled.targets.argmax(axis=1).tolist()
    paths = (path.relative_to(base).as_posix() for path in labelled.items)
    return [Sample(path, label, labelled.classnames[label]) for path, label in zip(paths, labels, strict=True)]


def _load_table(table: Path, folder: Path) -> ClassificationSet:
    columns, entries = read_entries(table)
    check_unique(table, entries)
    names = [_only_label(table, entry) for entry in entries]
    classes = columns or tuple(sorted(set(names)))
    _check_classes(table, classes, names)
    label = {name: index for index, name in enumerate(classes)}
    samples = [Sample(entry.path, label[name], name) for entry, name in zip(entries, names, strict=True)]
    splits = [entry.split for entry in entries]
    found: dict[str, list[Sample]] = {part: [] for part in PARTS if part in splits}
    for sample, split in zip(samples, splits, strict=True):
        if split:
            found[split].append(sample)
    digest = hashlib.sha256(table.read_bytes()).hexdigest()
    return _made(printable(table.stem), found or samples, folder, printable(table.name), digest)


def _only_label(table: Path, entry: Entry) -> str:
    present = [name for name, value in entry.labels.items() if value == PRESENT]
    if not _has_one_label(entry):
        has = f"{len(present)} labels ({', '.join(present)})" if len(present) > 1 else "no label, or an unknown one"
        raise UserError(f"{table}, line {entry.line}: {printable(entry.path)} has {has}; here it must have exactly one")
    return present[0]


def _has_one_label(entry: Entry) -> bool:
    values = [*entry.labels.values(), entry.unnamed]
    return values.count(PRESENT) == 1 and UNKNOWN not in values


def _check_classes(table: Path, classes: Sequence[str], used: Sequence[str]) -> None:
    check_distinct(str(table), classes)
    if empty := [name for name in classes if name not in set(used)]:
        raise UserError(f"{table}: class {empty[0]!r} has no picture; leave its column out")


def _made(
    name: str,
    found: Mapping[str, Sequence[Sample]] | Sequence[Sample],
    folder: Path,
    files: str,
    source_sha256: str | None = None,
) -> ClassificationSet:
    """The set of parts, or of samples that are still to be split."""
    if isinstance(found, Mapping):
        return ClassificationSet(name, found, folder, files, source_sha256)
    parts, how = split_in_three(name, found, remedy=_TOO_FEW)
    note = f"{name} does not say its parts: {how}"
    return ClassificationSet(name, parts, folder, files, source_sha256, how, notes=(note,))
