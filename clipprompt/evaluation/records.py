"""``results.jsonl``: one record a line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from clipprompt.errors import UserError
from clipprompt.files import parse_json_line, write_text
from clipprompt.printable import to_json


def write_records(path: str | Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Writes records as JSON lines, whole or not at all."""
    write_text(path, "".join(f"{to_json(record)}\n" for record in records))


def read_records(path: str | Path) -> list[dict[str, Any]]:
    """Reads JSON lines.

    Raises:
        UserError: naming the file, and the line that is not a JSON object.
    """
    return [record for _, record in numbered_records(path)]


def numbered_records(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Reads JSON lines with the numbers of their lines, from 1; empty lines are left out.

    Raises:
        UserError: as :func:`read_records`.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        record = parse_json_line(path, number, line)
        if not isinstance(record, dict):
            raise UserError(f"{path}, line {number}: not a record of results")
        yield number, record
