"""From image files to upright RGB pictures, one at a time or many at once in their order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple, TypeVar

from PIL import ExifTags, Image, ImageOps

from clipprompt.datasets._image_files import MAX_PIXELS, open_file, reason
from clipprompt.datasets._pixels import to_rgb
from clipprompt.datasets._quiet import quiet_pillow
from clipprompt.errors import UserError
from clipprompt.printable import printable

__all__ = [
    "MAX_PIXELS",
    "DecodedImage",
    "UnreadableImageError",
    "decode_image",
    "decode_in_order",
    "open_image",
]

T = TypeVar("T")
R = TypeVar("R")


class UnreadableImageError(UserError):
    """A file that gives no picture. ``reason`` says why, without the path."""

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        super().__init__(f"cannot read image {printable(path)}: {reason}")
        self.reason = reason


class DecodedImage(NamedTuple):
    """A picture and the size it has in its file.

    Attributes:
        image: RGB, upright.
        size: (width, height) of the upright picture before ``draft`` made it smaller.
    """

    image: Image.Image
    size: tuple[int, int]


def open_image(path: str | os.PathLike[str], *, draft: int | None = None) -> Image.Image:
    """Decodes an image file completely, turned upright as its EXIF entry says, in RGB.

    Grey of more than 8 bits is scaled to 8, transparency is dropped, and of an animation the first frame is taken. The
    format is told from the content, whatever the name.

    Args:
        path: of the file.
        draft: lets a JPEG be decoded at a half, a quarter or an eighth of its size, which is faster, as long as both
            sides keep this many pixels. What is lost is finer than those pixels, save some aliasing.

    Raises:
        UnreadableImageError: naming the file, if it is missing, no regular file, of more than ``MAX_PIXELS`` pixels, or
            cannot be decoded to its end.
    """
    return decode_image(path, draft=draft).image


def decode_image(path: str | os.PathLike[str], *, draft: int | None = None) -> DecodedImage:
    """As ``open_image``, with the size that the picture has in its file.

    Raises:
        UnreadableImageError: as ``open_image`` does.
    """
    try:
        with quiet_pillow(), open_file(path) as image:
            width, height = image.size
            if draft is not None:
                image.draft(None, (draft, draft))
            image.load()
            size = (height, width) if _turn_upright(image) else (width, height)
            return DecodedImage(to_rgb(image), size)
    # Decoders raise whatever the broken bytes lead them to: OSError, SyntaxError, ValueError, struct.error, …
    except Exception as error:
        raise UnreadableImageError(path, reason(error)) from error


def decode_in_order(
    items: Iterable[T], decode: Callable[[T], R], *, workers: int = 4, ahead: int = 64
) -> Iterator[tuple[T, R | UserError]]:
    """Decodes items in threads and yields them in their order, at most ``ahead`` of them beyond the one yielded.

    Threads and not processes: Pillow lets go of Python's lock while it decodes and resizes, so threads are as fast,
    start at once and need no copies. ``items`` may be endless; memory holds ``ahead`` results.

    Args:
        items: what to decode; read as far as the window reaches.
        decode: turns an item into a result. A ``UserError`` is handed on in place of the result.
        workers: threads; 0 decodes in this one.
        ahead: size of the window, at least 1.

    Yields:
        Each item with its result, or with the ``UserError`` that it met.
    """

    def attempt(item: T) -> R | UserError:
        try:
            return decode(item)
        except UserError as error:
            return error

    if workers == 0:
        for item in items:
            yield item, attempt(item)
        return
    source = iter(items)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        window: deque[tuple[T, Future[R | UserError]]] = deque()
        window.extend((item, pool.submit(attempt, item)) for item in islice(source, max(ahead, 1)))
        while window:
            item, future = window.popleft()
            result = future.result()
            window.extend((following, pool.submit(attempt, following)) for following in islice(source, 1))
            yield item, result
    finally:  # a reader that stops early does not wait for what it will not read
        pool.shutdown(wait=False, cancel_futures=True)


def _turn_upright(image: Image.Image) -> bool:
    """Turns the picture itself (a copy of a large one takes milliseconds); says if width and height changed places."""
    try:
        lies_on_its_side = image.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
        ImageOps.exif_transpose(image, in_place=True)
    except Exception:  # broken metadata must not cost the picture
        return False
    return lies_on_its_side
