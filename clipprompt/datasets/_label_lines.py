"""JSON lines of labels: ``{"path": "a.jpg", "labels": ["cat"], "split": "train"}``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from clipprompt.datasets._checks import read_utf8
from clipprompt.datasets._label_entries import (
    LABEL_COLUMNS,
    SPLIT_COLUMN,
    Entry,
    read_columns,
    read_names,
    read_split,
)
from clipprompt.datasets.images import PRESENT
from clipprompt.errors import UserError
from clipprompt.files import parse_json_line

_NAMES = {*LABEL_COLUMNS, "classname"}  # keys that may say the labels


def read_json_lines(path: Path) -> Iterator[Entry]:
    """Entries of a file, blank lines passed over.

    Raises:
        UserError: naming the line of what is wrong.
    """
    # Not splitlines(): JSON strings may hold line separators of Unicode.
    for line, raw in enumerate(read_utf8(path).split("\n"), 1):
        if not raw.strip():
            continue
        record = parse_json_line(path, line, raw)
        if not isinstance(record, dict) or not isinstance(record.get("path"), str) or not _NAMES & record.keys():
            raise UserError(f'{path}, line {line}: not of the form {{"path": "a.jpg", "labels": ["cat"]}}')
        split = read_split(path, line, record[SPLIT_COLUMN]) if SPLIT_COLUMN in record else ""
        yield Entry(line, record["path"], _labels_of(path, line, record), split)


def _labels_of(path: Path, line: int, record: Mapping[str, object]) -> dict[str, int]:
    if isinstance(name := record.get("classname"), str):  # a drawn list, whose "label" is a number
        return {name: PRESENT}
    labels = record.get("labels", record.get("label"))
    if isinstance(labels, str):
        return read_names(labels)
    if isinstance(labels, list) and all(isinstance(name, str) for name in labels):
        return dict.fromkeys(labels, PRESENT)
    if isinstance(labels, dict):
        return read_columns(path, line, list(labels), [json.dumps(value) for value in labels.values()])
    raise UserError(f"{path}, line {line}: 'labels' must be a list of names, or an object with 1, 0 or -1 per class")
