"""Reads a table of labels into entries: CSV and TSV here, JSON lines beside; ``labels.py`` describes the layouts."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clipprompt.datasets._checks import check_distinct, read_utf8
from clipprompt.datasets._label_entries import (
    LABEL_COLUMNS,
    SPLIT_COLUMN,
    Entry,
    read_columns,
    read_names,
    read_split,
)
from clipprompt.datasets._label_lines import read_json_lines
from clipprompt.errors import UserError

if TYPE_CHECKING:
    from _csv import Reader

PATH_COLUMNS = ("path", "image", "file", "filename", "file_name")
TABLES = (".csv", ".tsv", ".jsonl")


def read_entries(path: Path) -> tuple[tuple[str, ...], list[Entry]]:
    """Parses the table.

    Returns:
        The classes that the header names (none where labels stand in one column or in JSON), and the entries.

    Raises:
        UserError: naming the line of what is wrong.
    """
    suffix = path.suffix.lower()
    if suffix == ".jsonl":
        return (), _all_or_none(path, list(read_json_lines(path)))
    if suffix not in TABLES:
        raise UserError(f"{path}: a table of labels ends in .csv, .tsv or .jsonl, not in {suffix or 'nothing'!r}")
    text = io.StringIO(read_utf8(path), newline="")
    rows = _rows(path, csv.reader(text, delimiter="\t" if suffix == ".tsv" else ",", strict=True))
    header = _header(path, rows)
    others = [name.lower() for name in header[1:]]
    if sum(name in LABEL_COLUMNS for name in others) == 1 and {*others} <= {*LABEL_COLUMNS, SPLIT_COLUMN}:
        return (), list(_label_rows(path, others, _complete(path, rows, len(header))))
    entries = [
        Entry(line, cells[0], read_columns(path, line, header[1:], cells[1:]))
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
    check_distinct(f"{path}, line {line}", header[1:])
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
        split = read_split(path, line, of[SPLIT_COLUMN]) if SPLIT_COLUMN in of else ""
        yield Entry(line, image, read_names(labels), split)


def _all_or_none(path: Path, entries: list[Entry]) -> list[Entry]:
    lacking = [entry.line for entry in entries if not entry.split]
    if lacking and len(lacking) < len(entries):
        raise UserError(f"{path}, line {lacking[0]}: has no split where other lines have one")
    return entries
