"""The entries of a table of labels, and what its cells say, however it is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from clipprompt.datasets.images import ABSENT, PRESENT, UNKNOWN
from clipprompt.errors import UserError, nearest
from clipprompt.printable import printable

LABEL_COLUMNS = ("labels", "label")
SPLIT_COLUMN = "split"
SPLIT_WORDS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""What people call the parts of a set, and what we call them."""
VALUES = {"1": PRESENT, "0": ABSENT, "-1": UNKNOWN}


@dataclass(frozen=True)
class Entry:
    """One image of the table.

    Attributes:
        line: in the file, from 1.
        path: as written.
        labels: 1, 0 or -1 per class.
        split: train, val or test; empty where the table does not say.
        unnamed: what a class is that ``labels`` has not: absent, or unknown.
    """

    line: int
    path: str
    labels: dict[str, int]
    split: str = ""
    unnamed: int = ABSENT


def check_unique(path: Path, entries: Sequence[Entry]) -> None:
    """Refuses a table without an image, and an image that is there twice.

    Raises:
        UserError: naming both lines.
    """
    if not entries:
        raise UserError(f"{path} lists no image")
    lines: dict[str, int] = {}
    for entry in entries:
        same = str(PurePosixPath(entry.path))  # ./a.jpg is a.jpg
        if (before := lines.setdefault(same, entry.line)) != entry.line:
            raise UserError(f"{path}, line {entry.line}: {entry.path} is already in line {before}")


def read_split(path: Path, line: int, word: object) -> str:
    """The part that a cell names.

    Raises:
        UserError: if it names none.
    """
    known = SPLIT_WORDS.get(word.strip().lower()) if isinstance(word, str) else None
    if known is None:
        hint = nearest(str(word), SPLIT_WORDS)
        raise UserError(f"{path}, line {line}: split {printable(str(word))!r} is not train, val or test{hint}")
    return known


def read_names(cell: str) -> dict[str, int]:
    """The classes of a cell such as ``cat|red bus``, all of them present."""
    names = (name.strip() for name in cell.replace(";", "|").split("|"))
    return dict.fromkeys((name for name in names if name), PRESENT)


def read_columns(path: Path, line: int, classes: Sequence[str], cells: Sequence[str]) -> dict[str, int]:
    """The value of each class, from cells that say 1, 0 or -1.

    Raises:
        UserError: if one says anything else.
    """
    labels = dict(zip(classes, cells, strict=True))
    for name, cell in labels.items():
        if cell not in VALUES:
            allowed = "1 (present), 0 (absent) or -1 (unknown)"
            is_json = path.suffix.lower() == ".jsonl"
            names = "" if is_json else "; names go in a column 'label', with 'split' alone beside it"
            raise UserError(f"{path}, line {line}: label {cell!r} of class {name!r} is not {allowed}{names}")
    return {name: VALUES[cell] for name, cell in labels.items()}
