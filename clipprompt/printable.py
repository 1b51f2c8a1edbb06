"""Text for people: what strangers wrote, such as file names, made fit for a terminal; numbers and lists in words."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any


def printable(text: str | os.PathLike[str]) -> str:
    r"""The text with every character that cannot be printed as its escape: a line feed becomes ``\n``, ESC ``\x1b``.

    Escape sequences would move the cursor or worse, direction marks would reorder a line, and bytes of a file name that
    are no text (``os.fsdecode`` makes surrogates of them) cannot be encoded at all.
    """
    text = os.fspath(text)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def to_json(value: Any, indent: int | None = None) -> str:
    r"""JSON that can be encoded: what of a file name is no text (a lone surrogate) stands as its escape, ``\udcff``.

    Raises:
        ValueError: for a number that is not finite.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def counted(n: int, noun: str) -> str:
    """A number of things: ``1 picture``, ``2,000 pictures``."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}{'es' if noun.endswith('s') else 's'}"


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first names, and how many more there are: ``a, b, c, d, e and 3 more``."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def sized(n_bytes: float) -> str:
    """A number of bytes with three digits: ``303 kB``, ``1.24 GB``."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= size:
            return f"{n_bytes / size:.3g} {unit}"
    return f"{n_bytes:.0f} bytes"
