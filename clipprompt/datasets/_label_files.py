"""Reads a table of labels (CSV, TSV, JSON lines) into entries; ``labels.py`` describes the layouts."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clipprompt.datasets._checks import read_utf8
from clipprompt.datasets.images import ABSENT, PRESENT, UNKNOWN
from clipprompt.errors import UserError

if TYPE_CHECKING:
    from _csv import Reader

PATH_COLUMNS = ("path", "image", "file", "filename", "file_name")
LABEL_COLUMNS = ("labels", "label")
VALUES = {"1": PRESENT, "0": ABSENT, "-1": UNKNOWN}


@dataclass(frozen=True)
class Entry:
    """One image of the table: its line, its path as written, and 1, 0 or -1 per class; what is not there is absent."""

    line: int
    path: str
    labels: dict[str, int]


def read_entries(path: Path) -> tuple[tuple[str, ...], list[Entry]]:
    """Parses the table.

    Returns:
        The classes that the header names (none where labels stand in one column or in JSON), and the entries.

    Raises:
        UserError: naming the line of what is wrong.
    """
    suffix = path.suffix.lower()
    if suffix == ".jsonl":
        return (), list(_json_lines(path))
    if suffix not in (".csv", ".tsv"):
        raise UserError(f"{path}: a table of labels ends in .csv, .tsv or .jsonl, not in {suffix or 'nothing'!r}")
    text = io.StringIO(read_utf8(path), newline="")
    rows = _rows(path, csv.reader(text, delimiter="\t" if suffix == ".tsv" else ",", strict=True))
    header = _header(path, rows)
    if len(header) == 2 and header[1].lower() in LABEL_COLUMNS:
        return (), [Entry(line, cells[0], _names(cells[1])) for line, cells in _complete(path, rows, len(header))]
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


def _names(cell: str) -> dict[str, int]:
    names = (name.strip() for name in cell.replace(";", "|").split("|"))
    return dict.fromkeys((name for name in names if name), PRESENT)


def _columns(path: Path, line: int, classes: Sequence[str], cells: Sequence[str]) -> dict[str, int]:
    labels = dict(zip(classes, cells, strict=True))
    for name, cell in labels.items():
        if cell not in VALUES:
            allowed = "1 (present), 0 (absent) or -1 (unknown)"
            raise UserError(f"{path}, line {line}: label {cell!r} of class {name!r} is not {allowed}")
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
        if not isinstance(record, dict) or not isinstance(record.get("path"), str) or "labels" not in record:
            raise UserError(f'{path}, line {line}: not of the form {{"path": "a.jpg", "labels": ["cat"]}}')
        yield Entry(line, record["path"], _json_labels(path, line, record["labels"]))


def _json_labels(path: Path, line: int, labels: object) -> dict[str, int]:
    if isinstance(labels, str):
        return _names(labels)
    if isinstance(labels, list) and all(isinstance(name, str) for name in labels):
        return dict.fromkeys(labels, PRESENT)
    if isinstance(labels, dict):
        return _columns(path, line, list(labels), [json.dumps(value) for value in labels.values()])
    raise UserError(f"{path}, line {line}: 'labels' must be a list of names, or an object with 1, 0 or -1 per class")
