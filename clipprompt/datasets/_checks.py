"""What every reader checks before it believes a file."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from clipprompt.errors import UserError

T = TypeVar("T", bound=Hashable)


def plain_name(name: str) -> str:
    """A class name as it is compared: lower case, underscores as spaces, single spaces."""
    return " ".join(name.replace("_", " ").casefold().split())


def first_repeated(values: Iterable[T]) -> T | None:
    """The first entry that was there before, or None."""
    seen: set[T] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None


def check_distinct(where: str, classnames: Sequence[str]) -> None:
    """Checks that no two class names are one to a prompt.

    Raises:
        UserError: if two are, with both spellings.
    """
    if (twice := first_repeated(map(plain_name, classnames))) is not None:
        spelt = dict.fromkeys(repr(name) for name in classnames if plain_name(name) == twice)
        raise UserError(
            f"{where}: class {twice!r} is there twice, as {' and as '.join(spelt)}; give each class one name of its own"
        )


class MissingPicturesError(UserError):
    """Pictures are missing, not what labels them: a download fetches the archive of the pictures alone."""


def check_folder(folder: Path, images: str | Path | None = None) -> None:
    """Checks that the folder of the pictures is one.

    Args:
        folder: that holds them.
        images: what the user gave for it, if so; otherwise it is the set's own place, and ``--images`` no remedy.

    Raises:
        MissingPicturesError: if it is not.
    """
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        remedy = "" if images is None else "; give the folder of the pictures with --images"
        raise MissingPicturesError(f"image folder {folder} {what}{remedy}")


def read_utf8(path: Path) -> str:
    """The text of a UTF-8 file, without a byte-order mark.

    Raises:
        UserError: if it is missing, unreadable, or not UTF-8 (then the line is named).
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise UserError(f"{path}, line {line}: not UTF-8; save the file as UTF-8") from error
