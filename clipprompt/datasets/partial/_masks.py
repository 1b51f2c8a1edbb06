"""Masks of labels as text: a line for each picture, with a value for each class in the order of the set's classes.

    000005.jpg 0 -1 1 …            0,-1,1,…

On the left a line begins with the picture's file name. On the right, as in the files that the authors of TaI-DPT (Guo
2023, arXiv 2211.12739) give out for VOC2007, it is the line's number that says which picture is meant. Values are
separated by spaces, tabs or commas. They mean other things to others, so whose code it is has to be said.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clipprompt.datasets._checks import read_utf8
from clipprompt.datasets.images import ABSENT, PRESENT, UNKNOWN
from clipprompt.errors import UserError
from clipprompt.printable import counted

CODES: Mapping[str, Mapping[str, int]] = {
    "tai-dpt": {"1": PRESENT, "-1": ABSENT, "0": UNKNOWN},
    "clipprompt": {"1": PRESENT, "0": ABSENT, "-1": UNKNOWN},
}
"""What the values of a mask mean, by whose code it is."""
_DIGIT = re.compile(r"[-+]?\d(\.\d*)?")  # a value, right or wrong; 000005 is a name


@dataclass(frozen=True, eq=False)
class GivenLabels:
    """What R lines of a file say.

    Attributes:
        lines: R numbers of lines, from 1.
        paths: R pictures as written; None where line after line means the set's pictures in their order.
        values: (R, C) int8 of 1 present, 0 absent, -1 unknown.
    """

    lines: Sequence[int]
    paths: Sequence[str] | None
    values: npt.NDArray[np.int8]


def read_masks(path: Path, codes: str, set_name: str, n_classes: int, pictures: Collection[str]) -> GivenLabels:
    """Parses a file of masks.

    Args:
        path: the file.
        codes: whose code its values are in, one of ``CODES``; empty where nobody has said it.
        set_name: what errors call the set.
        n_classes: C, values in a line.
        pictures: names of pictures; a number among them is no value where a line has one column more than C.

    Raises:
        UserError: naming the line of what is wrong.
    """
    rows = [(line, raw.replace(",", " ").split()) for line, raw in enumerate(read_utf8(path).split("\n"), 1)]
    rows = [(line, cells) for line, cells in rows if cells]
    if not rows:
        raise UserError(f"{path} lists no image")
    if not codes:
        meaning = " or ".join(f":{name} ({_explain(code)})" for name, code in CODES.items())
        raise UserError(f"{path} is no table, and a mask does not say what its values mean; put behind it {meaning}")
    named = [_is_named(cells, n_classes, pictures) for _, cells in rows]
    values = np.empty((len(rows), n_classes), dtype=np.int8)
    for row, ((line, cells), is_named) in enumerate(zip(rows, named, strict=True)):
        if is_named != named[0]:
            which = "has no file name where" if named[0] else "has a file name where"
            raise UserError(f"{path}, line {line}: {which} line {rows[0][0]} has {'one' if named[0] else 'none'}")
        values[row] = _values(path, line, cells[is_named:], codes, set_name, n_classes)
    return GivenLabels([line for line, _ in rows], [cells[0] for _, cells in rows] if named[0] else None, values)


def _is_named(cells: Sequence[str], n_classes: int, pictures: Collection[str]) -> bool:
    is_value = _DIGIT.fullmatch(cells[0]) is not None
    return not is_value or (len(cells) == n_classes + 1 and cells[0] in pictures)


def _values(path: Path, line: int, cells: Sequence[str], codes: str, set_name: str, n_classes: int) -> Sequence[int]:
    if len(cells) != n_classes:
        raise UserError(
            f"{path}, line {line}: {counted(len(cells), 'value')} where {set_name} has {counted(n_classes, 'class')}"
        )
    code = CODES[codes]
    try:
        return [code[cell] for cell in cells]
    except KeyError as error:
        raise UserError(f"{path}, line {line}: value {error.args[0]!r} is not {_explain(code)}") from None


def _explain(code: Mapping[str, int]) -> str:
    of = {value: cell for cell, value in code.items()}
    return f"{of[PRESENT]} present, {of[ABSENT]} absent, {of[UNKNOWN]} unknown"
