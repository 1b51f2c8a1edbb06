"""Where pictures come from: files, folders, patterns and lists on stdin, one path at a time.

Nothing is collected: a folder is listed when it is reached, so that a hundred thousand files start at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from clipprompt.errors import UserError
from clipprompt.inference._listing import Skip, is_pattern, list_folder, match_files, walk_folders

# What is taken from a folder. HEIC cannot be read, but is better named than passed over in silence.
_ENDINGS = ".jpg .jpeg .jpe .jfif .png .apng .gif .webp .avif .bmp .dib .tif .tiff .ppm .pgm .pbm .pnm .jp2 .j2k .tga"
IMAGE_ENDINGS = (*_ENDINGS.split(), ".heic", ".heif")
STDIN = "-"
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"II*\0", b"MM\0*")


def find_images(
    inputs: Sequence[str], *, recursive: bool = False, on_skip: Skip, stdin: BinaryIO | None = None
) -> Iterator[str]:
    """Yields the paths that inputs stand for, in the order of the inputs.

    A file is taken whatever its ending; of a folder the files with an ending of ``IMAGE_ENDINGS``, and with
    ``recursive`` those of its sub-folders after them; of a pattern (``*``, ``?``, ``[…]``, ``**`` for any depth) every
    file that matches. ``-`` reads paths from stdin, one a line, or with zero bytes between them. Within a folder the
    order is natural (2 before 10). Hidden files and folders are passed over unless they are named. A file that is
    named twice comes twice.

    Args:
        inputs: files, folders, patterns, ``-``.
        recursive: read sub-folders. Each is read once, so that links in a circle end.
        on_skip: called with what is skipped and why: a folder that cannot be listed, an input without a picture.
        stdin: where ``-`` reads; None for the process's own.

    Raises:
        UserError: if ``-`` is given twice, or stdin holds a picture and not paths.
    """
    if list(inputs).count(STDIN) > 1:
        raise UserError("- is given twice, but stdin can be read once")
    for name in inputs:
        found = False
        for path in _expand(name, recursive, on_skip, stdin):
            found = True
            yield path
        if not found:
            on_skip(name, _why_nothing(name, recursive))


def read_paths(stream: BinaryIO) -> Iterator[str]:
    """Yields paths from a stream as they arrive, one a line, or with zero bytes between them.

    Zero bytes (``find -print0``) are told from the first bytes that arrive. Bytes that are no text stay as they are, as
    ``os.fsdecode`` keeps them. Empty lines are passed over.

    Raises:
        UserError: if the stream is a picture.
    """
    read = getattr(stream, "read1", stream.read)
    chunk = read(1 << 16)
    if chunk.startswith(_PICTURES):
        raise UserError("stdin holds a picture; - reads paths of pictures, one a line, and a picture is given by name")
    separator, ending = (b"\0", b"") if b"\0" in chunk else (b"\n", b"\r")
    rest = b""
    while chunk:
        *whole, rest = (rest + chunk).split(separator)
        yield from (os.fsdecode(name.removesuffix(ending)) for name in whole if name.strip())
        chunk = read(1 << 16)
    if rest.strip():
        yield os.fsdecode(rest.removesuffix(ending))


def _expand(name: str, recursive: bool, on_skip: Skip, stdin: BinaryIO | None) -> Iterator[str]:
    if name == STDIN:
        for path in read_paths(sys.stdin.buffer if stdin is None else stdin):
            yield from _pictures_of(path, recursive, on_skip)
    elif os.path.lexists(name):
        yield from _pictures_of(name, recursive, on_skip)
    elif is_pattern(name):
        yield from match_files(name, on_skip)


def _pictures_of(name: str, recursive: bool, on_skip: Skip) -> Iterator[str]:
    if not os.path.isdir(name):  # noqa: PTH112  a Path would change what the user wrote
        yield name  # whoever opens it says what is wrong with it
    elif recursive:
        for _, files in walk_folders(name, on_skip):
            yield from filter(_is_picture, files)
    else:
        yield from filter(_is_picture, list_folder(name, on_skip)[0])


def _is_picture(path: str) -> bool:
    return path.lower().endswith(IMAGE_ENDINGS)


def _why_nothing(name: str, recursive: bool) -> str:
    if name == STDIN:
        return "stdin named no picture"
    if os.path.isdir(name):  # noqa: PTH112
        return "no picture in this folder" + ("" if recursive else "; -r reads its sub-folders")
    return "no file matches this pattern" if is_pattern(name) else "no such file or folder"
