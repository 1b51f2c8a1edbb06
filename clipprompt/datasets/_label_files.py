"""Reads a table of labels (CSV, TSV, JSON lines) into entries; ``labels.py`` describes the layouts."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from clipprompt.datasets._checks import read_utf8
from clipprompt.datasets.images import ABSENT, PRESENT, UNKNOWN
from clipprompt.errors import UserError, nearest
from clipprompt.printable import printable

if TYPE_CHECKING:
    from _csv import Reader

PATH_COLUMNS = ("path", "image", "file", "filename", "file_name")
LABEL_COLUMNS = ("labels", "label")
SPLIT_COLUMN = "split"
TABLES = (".csv", ".tsv", ".jsonl")
SPLIT_WORDS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""What people call the parts of a set, and what we call them."""
_NAMES = {*LABEL_COLUMNS, "classname"}  # keys of JSON lines that may say the labels
VALUES = {"1": PRESENT, "0": ABSENT, "-1": UNKNOWN}


@dataclass(frozen=True)
class Entry:
    """One image of the table.

    Attributes:
        line: in the file, from 1.
        path: as written.
        labels: 1, 0 or -1 per class; what is not there is absent.
        split: train, val or test; empty where the table does not say.
    """

    line: int
    path: str
    labels: dict[str, int]
    split: str = ""


def read_entries(path: Path) -> tuple[tuple[str, ...], list[Entry]]:
    """Parses the table.

    Returns:
        The classes that the header names (none where labels stand in one column or in JSON), and the entries.

    Raises:
        UserError: naming the line of what is wrong.
    """
    suffix = path.suffix.lower()
    if suffix == ".jsonl":
        return (), _all_or_none(path, list(_json_lines(path)))
    if suffix not in TABLES:
        raise UserError(f"{path}: a table of labels ends in .csv, .tsv or .jsonl, not in {suffix or 'nothing'!r}")
    text = io.StringIO(read_utf8(path), newline="")
    rows = _rows(path, csv.reader(text, delimiter="\t" if suffix == ".tsv" else ",", strict=True))
    header = _header(path, rows)
    others = [name.lower() for name in header[1:]]
    if sum(name in LABEL_COLUMNS for name in others) == 1 and {*others} <= {*LABEL_COLUMNS, SPLIT_COLUMN}:
        return (), list(_label_rows(path, others, _complete(path, rows, len(header))))
    entries = [
        Entry(line, cells[0], _columns(path, line, header[1:], cells[1:]))
        for line, cells in _complete(path, rows, len(header))
    ]
    return tuple(header[1:]), entries


def _rows(path: Path, reader: Reader) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of the rows that are not blank; the reader counts the lines, since a quoted cell may break."""
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise UserError(f"{path}, line {reader.line_num}: {error}") from error
        if any(cell.strip() for cell in cells):
            yield reader.line_num, [cell.strip() for cell in cells]


def _header(path: Path, rows: Iterator[tuple[int, list[str]]]) -> list[str]:
    line, header = next(rows, (1, []))
    if len(header) < 2 or header[0].lower() not in PATH_COLUMNS:
        wanted = "'path,labels' or 'path,<class>,<class>,…'"
        raise UserError(
            f"{path}, line {line}: the first line must name the columns, {wanted}, not {','.join(header)!r}"
        )
    return header


def _complete(path: Path, rows: Iterator[tuple[int, list[str]]], n_columns: int) -> Iterator[tuple[int, list[str]]]:
    for line, cells in rows:
        if len(cells) != n_columns:
            raise UserError(f"{path}, line {line}: {len(cells)} columns where the first line has {n_columns}")
        if not cells[0]:
            raise UserError(f"{path}, line {line}: the path is empty")
        yield line, cells


def _label_rows(path: Path, columns: Sequence[str], rows: Iterator[tuple[int, list[str]]]) -> Iterator[Entry]:
    """Entries of a table with a column of labels, and perhaps one of splits."""
    for line, (image, *cells) in rows:
        of = dict(zip(columns, cells, strict=True))
        labels = next(of[name] for name in LABEL_COLUMNS if name in of)
        split = _split(path, line, of[SPLIT_COLUMN]) if SPLIT_COLUMN in of else ""
        yield Entry(line, image, _names(labels), split)


def _split(path: Path, line: int, word: object) -> str:
    known = SPLIT_WORDS.get(word.strip().lower()) if isinstance(word, str) else None
    if known is None:
        hint = nearest(str(word), SPLIT_WORDS)
        raise UserError(f"{path}, line {line}: split {printable(str(word))!r} is not train, val or test{hint}")
    return known


def _all_or_none(path: Path, entries: list[Entry]) -> list[Entry]:
    lacking = [entry.line for entry in entries if not entry.split]
    if lacking and len(lacking) < len(entries):
        raise UserError(f"{path}, line {lacking[0]}: has no split where other lines have one")
    return entries


def _names(cell: str) -> dict[str, int]:
    names = (name.strip() for name in cell.replace(";", "|").split("|"))
    return dict.fromkeys((name for name in names if name), PRESENT)


def _columns(path: Path, line: int, classes: Sequence[str], cells: Sequence[str]) -> dict[str, int]:
    labels = dict(zip(classes, cells, strict=True))
    for name, cell in labels.items():
        if cell not in VALUES:
            allowed = "1 (present), 0 (absent) or -1 (unknown)"
            is_json = path.suffix.lower() == ".jsonl"
            names = "" if is_json else "; names go in a column 'label', with 'split' alone beside it"
            raise UserError(f"{path}, line {line}: label {cell!r} of class {name!r} is not {allowed}{names}")
    return {name: VALUES[cell] for name, cell in labels.items()}


def _json_lines(path: Path) -> Iterator[Entry]:
    # Not splitlines(): JSON strings may hold line separators of Unicode.
    for line, raw in enumerate(read_utf8(path).split("\n"), 1):
        if not raw.strip():
            continue
        try:
            record = json.loads(raw)
        except json.JSONDecodeError as error:
            raise UserError(f"{path}, line {line}: broken JSON ({error.msg})") from error
        except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets in thousands
            raise UserError(f"{path}, line {line}: {error}") from error
        if not isinstance(record, dict) or not isinstance(record.get("path"), str) or not _NAMES & record.keys():
            raise UserError(f'{path}, line {line}: not of the form {{"path": "a.jpg", "labels": ["cat"]}}')
        split = _split(path, line, record[SPLIT_COLUMN]) if SPLIT_COLUMN in record else ""
        yield Entry(line, record["path"], _json_labels(path, line, record), split)


def _json_labels(path: Path, line: int, record: Mapping[str, object]) -> dict[str, int]:
    if isinstance(name := record.get("classname"), str):  # a drawn list, whose "label" is a number
        return {name: PRESENT}
    labels = record.get("labels", record.get("label"))
    if isinstance(labels, str):
        return _names(labels)
    if isinstance(labels, list) and all(isinstance(name, str) for name in labels):
        return dict.fromkeys(labels, PRESENT)
    if isinstance(labels, dict):
        return _columns(path, line, list(labels), [json.dumps(value) for value in labels.values()])
    raise UserError(f"{path}, line {line}: 'labels' must be a list of names, or an object with 1, 0 or -1 per class")


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
