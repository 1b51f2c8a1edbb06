"""A folder of pictures with a table of labels: CSV, TSV or JSON lines.

The table's first line names its columns. Two layouts::

    path,labels                     path,cat,dog,red bus
    a.jpg,cat|red bus               a.jpg,1,0,1
    sub/b.png,                      sub/b.png,0,-1,0

On the left, labels are separated by ``|`` or ``;``, and what is not named is absent. On the right every class has its
column, of 1 present, 0 absent, -1 unknown. The path column may also be called ``image``, ``file``, ``filename`` or
``file_name``, the other one ``label``. Paths are relative to the image folder. JSON lines say the same::

    {"path": "a.jpg", "labels": ["cat", "red bus"]}
    {"path": "sub/b.png", "labels": {"dog": -1}}

where a class that an object does not name is absent. Where only some labels are known, a line names these::

    {"path": "a.jpg", "present": ["cat"], "absent": ["dog"]}

and every other class is unknown. Beside one column of labels there may be one called ``split``, of
train, val and test (in JSON lines ``"split": "train"``). Files are UTF-8.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clipprompt.datasets._checks import check_folder, plain_name
from clipprompt.datasets._label_entries import SPLIT_WORDS, Entry, check_unique
from clipprompt.datasets._label_files import read_entries
from clipprompt.datasets._missing import settle_missing
from clipprompt.datasets.images import ABSENT, MultiLabelImages
from clipprompt.errors import UserError, nearest
from clipprompt.printable import printable


def load_labels(
    table: str | Path,
    images: str | Path | None = None,
    *,
    split: str = "",
    classnames: Sequence[str] | None = None,
    skip_missing: bool = False,
    name: str | None = None,
) -> MultiLabelImages:
    """Reads a table of labels; the module's text describes the layouts.

    Args:
        table: a file ending in ``.csv``, ``.tsv`` or ``.jsonl``.
        images: the folder that its paths are relative to; by default the table's own.
        split: which one is meant, where the table has a column of them.
        classnames: the classes and their order. By default those of the header, or in alphabetical order all that
            the table names.
        skip_missing: leaves out images whose picture is missing, and notes how many.
        name: what reports call the set; by default the file's name without its ending.

    Raises:
        UserError: naming the file and the line of what is wrong.
    """
    path = Path(table)
    folder = Path(images) if images is not None else path.parent
    if images is not None:
        check_folder(folder, images)
    columns, entries = read_entries(path)
    check_unique(path, entries)
    named = columns or tuple(sorted({label for entry in entries for label in entry.labels}))  # of all splits
    splits = _splits(entries)
    entries = _of_split(path, entries, split)
    classes = tuple(classnames) if classnames is not None else named
    dataset = MultiLabelImages(
        name=name or f"{printable(path.stem)}{':' if splits else ''}{split}",
        items=[folder / entry.path for entry in entries],
        classnames=classes,
        targets=_targets(path, entries, classes, columns),
        ids=tuple(entry.path for entry in entries),
        options={"split": split} if splits else {},
    )
    return settle_missing(dataset, path, lambda index: f"line {entries[index].line}", skip_missing)


def table_splits(table: str | Path) -> tuple[str, ...]:
    """The splits that a table names; none where it has no column of them.

    Raises:
        UserError: if it cannot be read.
    """
    return _splits(read_entries(Path(table))[1])


def _splits(entries: Sequence[Entry]) -> tuple[str, ...]:
    return tuple(split for split in dict.fromkeys(SPLIT_WORDS.values()) if any(e.split == split for e in entries))


def _of_split(path: Path, entries: list[Entry], split: str) -> list[Entry]:
    splits = _splits(entries)
    if split and not splits:
        raise UserError(f"{path} has no column 'split', so it has no split {split!r}; leave out :{split}")
    if splits and SPLIT_WORDS.get(split) not in splits:
        what = f"has no split {split!r}" if split else "holds splits"
        raise UserError(f"{path} {what}; choose one of {', '.join(f'{path}:{name}' for name in splits)}")
    return [entry for entry in entries if not splits or entry.split == SPLIT_WORDS[split]]


def _targets(
    path: Path, entries: Sequence[Entry], classes: Sequence[str], columns: Sequence[str]
) -> np.ndarray[Any, np.dtype[np.int8]]:
    column = {plain_name(name): index for index, name in enumerate(classes)}
    known = {plain_name(name) for name in columns}
    for name in classes if columns else ():
        if plain_name(name) not in known:
            raise UserError(f"{path} has no column for class {name!r}{nearest(name, columns)}")
    targets = np.full((len(entries), len(classes)), ABSENT, dtype=np.int8)
    for row, entry in enumerate(entries):
        targets[row] = entry.unnamed
        for label, value in entry.labels.items():
            index = column.get(plain_name(label))
            if index is not None:
                targets[row, index] = value
            elif not columns:  # a column may be left out on purpose; a label outside the class list is a mistake
                hint = nearest(plain_name(label), column)
                raise UserError(f"{path}, line {entry.line}: class {label!r} is not in the class list{hint}")
    return targets
