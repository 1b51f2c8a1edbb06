"""Folders of pictures, listed in an order that does not depend on the disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from clipprompt.datasets._checks import check_folder
from clipprompt.datasets._image_files import image_endings
from clipprompt.errors import UserError
from clipprompt.printable import printable


def list_folders(folder: Path) -> list[str]:
    """The names of the sub-folders, in alphabetical order, without hidden ones and an archive's ``__MACOSX``.

    Raises:
        MissingPicturesError: if ``folder`` is no folder.
        UserError: if there is none in it.
    """
    check_folder(folder)
    names = sorted(entry.name for entry in _scan(folder) if entry.is_dir())
    if not names:
        what = (
            "pictures, but no class folders: sort them into one folder for each class"
            if any(_is_picture(entry.name) for entry in _scan(folder))
            else "no class folders; is the archive unpacked there?"
        )
        raise UserError(f"{printable(folder)} holds {what}")
    return names


def list_pictures(folder: Path) -> list[str]:
    """The names of the pictures in a folder of a class, in alphabetical order.

    Raises:
        UserError: if there is none.
    """
    names = sorted(entry.name for entry in _scan(folder) if _is_picture(entry.name))
    if not names:
        raise UserError(
            f"{printable(folder)} holds no picture; put the pictures of this class back, or fetch them again"
        )
    return names


def _scan(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from (entry for entry in entries if not entry.name.startswith((".", "__")))
    except OSError as error:
        raise UserError(f"cannot read the folder {printable(folder)}: {error.strerror or error}") from error


def _is_picture(name: str) -> bool:
    return name.lower().endswith(image_endings())
