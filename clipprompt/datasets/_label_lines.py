"""JSON lines of labels. What a line does not name is absent in the first form, and unknown in the second.

{"path": "a.jpg", "labels": ["cat"], "split": "train"}
{"path": "a.jpg", "present": ["cat"], "absent": ["dog"]}
"""

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
from clipprompt.datasets.images import ABSENT, PRESENT, UNKNOWN
from clipprompt.errors import UserError, nearest
from clipprompt.files import parse_json_line

_KNOWN = {"present": PRESENT, "absent": ABSENT}  # the keys of the second form
_KEYS = ("path", SPLIT_COLUMN, *_KNOWN)
_NAMES = {*LABEL_COLUMNS, "classname", *_KNOWN}  # keys that may say the labels


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
            forms = '{"path": "a.jpg", "labels": ["cat"]} or {"path": "a.jpg", "present": ["cat"], "absent": []}'
            raise UserError(f"{path}, line {line}: not of the form {forms}")
        split = read_split(path, line, record[SPLIT_COLUMN]) if SPLIT_COLUMN in record else ""
        if _KNOWN.keys() & record.keys():
            yield Entry(line, record["path"], _known_of(path, line, record), split, unnamed=UNKNOWN)
        else:
            yield Entry(line, record["path"], _labels_of(path, line, record), split)


def _known_of(path: Path, line: int, record: Mapping[str, object]) -> dict[str, int]:
    if both := sorted({*LABEL_COLUMNS, "classname"} & record.keys()):
        raise UserError(f"{path}, line {line}: has both {both[0]!r} and 'present' or 'absent'; keep one of them")
    for key in sorted(record.keys() - _KEYS):
        if hint := nearest(key.lower(), _KEYS):  # its labels would be lost, and nobody told
            raise UserError(f"{path}, line {line}: no key is called {key!r}{hint}; write it so, or rename it")
    lists = {key: _names(path, line, key, record.get(key, [])) for key in _KNOWN}
    if both := sorted(set(lists["present"]) & set(lists["absent"])):
        raise UserError(f"{path}, line {line}: class {both[0]!r} is both present and absent; it can be one of them")
    return {name: value for key, value in _KNOWN.items() for name in lists[key]}


def _names(path: Path, line: int, key: str, names: object) -> list[str]:
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return names
    raise UserError(f"{path}, line {line}: {key!r} must be a list of class names")


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
