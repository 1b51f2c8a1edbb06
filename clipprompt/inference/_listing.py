"""Folders and patterns, listed one folder at a time: natural order, links in a circle end, what is closed is named.

Paths are plain strings that begin as the user wrote them; ``pathlib`` would tidy them.
"""

# ruff: noqa: PTH112, PTH116, PTH118, PTH119

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from fnmatch import translate

Skip = Callable[[str, str], None]


def list_folder(folder: str, on_skip: Skip, *, hidden: bool = False) -> tuple[list[str], list[str]]:
    """Paths of the files and of the sub-folders of a folder, each in natural order.

    Args:
        folder: its path; the empty one is the current folder.
        on_skip: called with the path and the reason if it cannot be listed.
        hidden: also what begins with a full stop.
    """
    files: list[str] = []
    folders: list[str] = []
    try:
        with os.scandir(folder or os.curdir) as entries:
            for entry in entries:
                if hidden or not entry.name.startswith("."):
                    (folders if _is_folder(entry) else files).append(entry.name)
    except OSError as error:
        on_skip(folder, f"this folder cannot be listed: {(error.strerror or str(error)).lower()}")
    return _joined(folder, files), _joined(folder, folders)


def walk_folders(top: str, on_skip: Skip) -> Iterator[tuple[str, list[str]]]:
    """Yields ``top`` and all folders below it, each with its files; a folder that links lead to again comes once."""
    seen: set[tuple[int, int]] = set()
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        try:
            found = os.stat(folder or os.curdir)
            if (found.st_dev, found.st_ino) in seen:
                continue
            seen.add((found.st_dev, found.st_ino))
        except OSError:
            pass  # listing it says why
        files, folders = list_folder(folder, on_skip)
        yield folder, files
        waiting += reversed(folders)


def is_pattern(name: str) -> bool:
    """Whether a name has a wildcard in it."""
    return any(character in name for character in "*?[")


def match_files(pattern: str, on_skip: Skip) -> Iterator[str]:
    """Files that match a pattern as shells read it: ``*``, ``?``, ``[…]``, and ``**`` for folders of any depth."""
    parts = [part for part in pattern.replace(os.sep, "/").split("/") if part]
    shorter = [part for part, before in zip(parts, ["", *parts], strict=False) if not part == before == "**"]
    top = os.sep if pattern.startswith(os.sep) else ""
    if shorter.count("**") < 2:
        yield from _match(top, shorter, on_skip)
    else:  # a/a/x.png matches **/a/**/x.png in two ways
        yield from dict.fromkeys(_match(top, shorter, on_skip))


def _match(folder: str, parts: list[str], on_skip: Skip) -> Iterator[str]:
    head, rest = parts[0], parts[1:]
    if head == "**":
        for below, _ in walk_folders(folder, on_skip):
            yield from _match(below, rest or ["*"], on_skip)
    elif not is_pattern(head):
        path = os.path.join(folder, head)
        if rest and os.path.isdir(path):
            yield from _match(path, rest, on_skip)
        elif not rest and os.path.lexists(path) and not os.path.isdir(path):
            yield path
    else:
        files, folders = list_folder(folder, on_skip, hidden=head.startswith("."))
        fits = re.compile(translate(head)).match
        matching = (path for path in (folders if rest else files) if fits(os.path.basename(path)))
        for path in matching:
            if rest:
                yield from _match(path, rest, on_skip)
            else:
                yield path


def _natural(name: str) -> tuple[list[str | int], str]:
    """As people count: ``img2`` before ``img10``, capitals as small letters."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], name


def _joined(folder: str, names: list[str]) -> list[str]:
    return [os.path.join(folder, name) for name in sorted(names, key=_natural)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
