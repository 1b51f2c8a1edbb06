"""Split files as CoOp ships them: ``{"train": [["cat/a.jpg", 0, "cat"], …], "val": …, "test": …}``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from clipprompt.datasets._checks import read_utf8
from clipprompt.datasets.classification.sets import PARTS, Sample
from clipprompt.errors import UserError, nearest
from clipprompt.printable import printable


@dataclass(frozen=True)
class SplitFile:
    """What a split file says.

    Attributes:
        parts: the samples of train, val and test in the file's order; a part without a sample is not there.
        sha256: of the file's bytes.
        notes: lines for people: pictures that are listed more than once.
    """

    parts: Mapping[str, Sequence[Sample]]
    sha256: str
    notes: tuple[str, ...] = ()


def read_split_file(path: str | Path) -> SplitFile:
    """Reads a split file. No picture is looked for.

    Raises:
        UserError: if it cannot be read or is not of the form above, naming the part and the entry, counted from 1.
    """
    file = Path(path)
    text = read_utf8(file)
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{file}, line {error.lineno}: broken JSON ({error.msg}); fetch the file again") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets in thousands
        raise UserError(f"{file}: {error}") from error
    if not isinstance(content, dict) or not content:
        raise UserError(f'{file} is not a split file, of the form {{"train": [["cat/a.jpg", 0, "cat"], …], "test": …}}')
    if odd := next((key for key in content if key not in PARTS), None):
        raise UserError(f"{file}: {odd!r} is not a part{nearest(odd, PARTS)}; parts are {', '.join(PARTS)}")
    listed = {part: _samples(file, part, content[part]) for part in PARTS if part in content}
    parts = {part: samples for part, samples in listed.items() if samples}
    if not parts:
        raise UserError(f"{file} lists no picture")
    return SplitFile(parts, hashlib.sha256(file.read_bytes()).hexdigest(), _find_repeated(file, parts))


def _samples(file: Path, part: str, entries: object) -> list[Sample]:
    if not isinstance(entries, list):
        raise UserError(f"{file}: {part!r} is not a list of [path, label, class name]")
    return [_sample(f"{file}, {part}, entry {number}", entry) for number, entry in enumerate(entries, 1)]


def _sample(where: str, entry: object) -> Sample:
    match entry:
        case [str(path), int(label), str(classname)] if not isinstance(label, bool):
            pass
        case _:
            shown = printable(json.dumps(entry, ensure_ascii=False)[:60])
            raise UserError(f'{where}: {shown} is not [path, label, class name], such as ["cat/a.jpg", 0, "cat"]')
    if label < 0:
        raise UserError(f"{where}: label {label} of {printable(path)} is below 0")
    if not classname.strip():
        raise UserError(f"{where}: the class name of {printable(path)} is empty")
    place = PurePosixPath(path)
    if not path or place.is_absolute() or ".." in place.parts:
        raise UserError(f"{where}: path {printable(path)!r} is not relative to the folder of the pictures")
    return Sample(path, label, classname)


def _find_repeated(file: Path, parts: Mapping[str, Sequence[Sample]]) -> tuple[str, ...]:
    """A note on pictures that stand in two parts, or twice in one; published files are read as they are."""
    first: dict[str, str] = {}
    repeated = []
    for part, samples in parts.items():
        for sample in samples:
            if sample.path in first:
                repeated.append((sample.path, first[sample.path], part))
            first.setdefault(sample.path, part)
    if not repeated:
        return ()
    path, before, part = repeated[0]
    where = f"twice in {part}" if before == part else f"in {before} and in {part}"
    return (f"{file.name}: {len(repeated):,} pictures are listed again; {printable(path)} stands {where}",)
