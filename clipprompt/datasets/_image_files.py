"""What a file is before its pixels are trusted: its kind, its format and its size, from the first bytes."""

from __future__ import annotations

import os
import stat
from functools import cache

from PIL import Image, UnidentifiedImageError

from clipprompt.printable import printable

# Of 8-bit RGB that is half a gigabyte. Pillow, too, refuses what is larger; its warning at half the size is not shown.
MAX_PIXELS = 178_000_000
TOO_LARGE = f"it has more than {MAX_PIXELS // 1_000_000} million pixels; make it smaller"

# No format that hands the file to another program (EPS to Ghostscript) or that says nothing but where a picture is.
_FORMATS = ("JPEG", "MPO", "PNG", "GIF", "WEBP", "TIFF", "BMP", "DIB", "AVIF", "JPEG2000", "PPM", "TGA", "ICO")

_NOT_REGULAR = {
    stat.S_IFDIR: "it is a folder",
    stat.S_IFIFO: "it is a pipe, not a file",
    stat.S_IFSOCK: "it is a socket, not a file",
    stat.S_IFCHR: "it is a device, not a file",
    stat.S_IFBLK: "it is a device, not a file",
}
_OTHER_KINDS = (
    (b"%PDF", "it is a PDF document; save its pages as pictures"),
    (b"%!PS", "it is a PostScript file; save it as PNG"),
    (b"<?xml", "it is an XML file, such as an SVG drawing; save it as PNG"),
    (b"<svg", "it is an SVG drawing; save it as PNG"),
    (b"<!doctype html", "it is a web page"),
    (b"<html", "it is a web page"),
    (b"version https://git-lfs", "it is a pointer of Git LFS; fetch the file with `git lfs pull`"),
    (b"pk\x03\x04", "it is a ZIP archive"),
)
_BRANDS = {
    b"heic": "HEIC is not supported; save it as JPEG",
    b"heix": "HEIC is not supported; save it as JPEG",
    b"mif1": "HEIF is not supported; save it as JPEG",
    b"avif": "this build of Pillow does not read AVIF; save it as PNG",
}


class NotAnImageError(Exception):
    """Why a file is not opened, in one line without its path."""


def open_file(path: str | os.PathLike[str]) -> Image.Image:
    """Opens an image file by its content, whatever its name, and reads no more than its header.

    Raises:
        NotAnImageError: for what is no regular file, empty, of an unknown format, or too large.
        Exception: whatever Pillow raises for a broken header.
    """
    _check_kind(path)
    try:
        image = Image.open(path, formats=_formats())
    except UnidentifiedImageError as error:
        raise NotAnImageError(_what_it_is(path)) from error
    except Image.DecompressionBombError as error:
        raise NotAnImageError(TOO_LARGE) from error
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise NotAnImageError(TOO_LARGE)
    return image


def _check_kind(path: str | os.PathLike[str]) -> None:
    """Looks before it opens: opening a pipe that nobody writes to would wait for ever."""
    try:
        found = os.stat(path)  # noqa: PTH116 (a third of the time of Path(path).stat())
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        raise NotAnImageError(reason(error)) from error
    kind = stat.S_IFMT(found.st_mode)
    if kind != stat.S_IFREG:
        raise NotAnImageError(_NOT_REGULAR.get(kind, "it is not a regular file"))
    if found.st_size == 0:
        raise NotAnImageError("the file is empty")


def reason(error: BaseException) -> str:
    """What an exception says, in one line: the system's words without the path, or the decoder's."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[:1].lower() + error.strerror[1:]
    return printable(str(error)) or type(error).__name__


@cache
def image_endings() -> tuple[str, ...]:
    """What the names of pictures end in. HEIC cannot be read, but is better named than passed over in silence."""
    known = Image.registered_extensions()
    return (*sorted(ending for ending, name in known.items() if name in _FORMATS), ".heic", ".heif")


def _what_it_is(path: str | os.PathLike[str]) -> str:
    with open(path, "rb") as file:  # noqa: PTH123
        head = file.read(256)
    brand = _BRANDS.get(head[8:12]) if head[4:8] == b"ftyp" else None
    if brand is not None:
        return brand
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for beginning, what in _OTHER_KINDS:
        if text.startswith(beginning.lower()):
            return what
    return "it is not a picture of a known format (JPEG, PNG, GIF, WebP, TIFF, BMP, …)"


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)  # Pillow can be built without some of them
