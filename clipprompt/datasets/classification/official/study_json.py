"""The fine-grained five: ``train.json``, ``val.json`` and ``test.json`` of visual prompt tuning.

Each is ``{"001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg": 1, …}``, a class's number by the path of a
picture. Numbers begin at 0 or 1 and may leave some out; labels are their places in order, as in the study.
"""

from __future__ import annotations

import json
from pathlib import Path

from clipprompt.datasets._checks import read_utf8
from clipprompt.datasets.classification.official._fine_grained_names import read_names
from clipprompt.datasets.classification.official._listed import (
    Listed,
    Place,
    check_disjoint,
    check_path,
    hash_files,
)
from clipprompt.datasets.classification.sets import PARTS, Sample
from clipprompt.errors import UserError
from clipprompt.printable import printable

_MANY_DIGITS = 10
_FORM = '{"001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg": 1, …}'


def read(place: Place) -> Listed:
    """Names are the set's own, from its folders or its lists of classes."""
    paths = {part: place.base / f"{part}.json" for part in PARTS}
    numbered = {part: _read_json(path) for part, path in paths.items()}
    named = read_names(place, {path: number for entries in numbered.values() for path, number in entries.items()})
    labels = {number: label for label, number in enumerate(sorted(named.names))}
    parts = {
        part: [Sample(path, labels[number], named.names[number]) for path, number in entries.items()]
        for part, entries in numbered.items()
    }
    check_disjoint(parts, paths)
    files = ", ".join(path.name for path in paths.values())
    return Listed(parts, files, sha256=hash_files(paths.values()), notes=named.notes)


def _read_json(file: Path) -> dict[str, int]:
    text = read_utf8(file)
    try:
        pairs = json.loads(text, object_pairs_hook=_Pairs)
    except json.JSONDecodeError as error:
        raise UserError(f"{file}, line {error.lineno}: broken JSON ({error.msg}); fetch the file again") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets in thousands
        raise UserError(f"{file}: {error}") from error
    if not isinstance(pairs, _Pairs) or not pairs:
        raise UserError(f"{file} is not of the form {_FORM}")
    numbers: dict[str, int] = {}
    for entry, (path, value) in enumerate(pairs, 1):
        where = f"{file}, entry {entry}"
        if check_path(where, path) in numbers:
            raise UserError(f"{where}: {printable(path)} is there twice; take one of them out")
        numbers[path] = _number(where, path, value)
    return numbers


class _Pairs(list[tuple[str, object]]):
    """The entries of an object, those that stand twice too, which a dictionary would lose."""


def _number(where: str, path: str, value: object) -> int:
    if isinstance(value, str) and value.isdecimal() and len(value) < _MANY_DIGITS:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    shown = printable(json.dumps(value, ensure_ascii=False)[:40])
    raise UserError(f"{where}: class {shown} of {printable(path)} is not a number from 0")
