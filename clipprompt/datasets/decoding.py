"""From image files to upright RGB pictures, one at a time or many at once in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps

from clipprompt.errors import UserError

T = TypeVar("T")
R = TypeVar("R")


def open_image(path: str | Path, *, draft: int | None = None) -> Image.Image:
    """Decodes an image file completely, turned upright as its EXIF entry says, in RGB.

    16-bit grey is scaled to 8 bits, transparency is dropped, and of an animation the first frame is taken.

    Args:
        path: of the file.
        draft: lets a JPEG be decoded at a half, a quarter or an eighth of its size, which is faster, as long as both
            sides keep this many pixels. What is lost is finer than those pixels, save some aliasing.

    Raises:
        UserError: naming the file, if it is missing or cannot be decoded to its end.
    """
    try:
        with Image.open(path) as image:
            if draft is not None:
                image.draft("RGB", (draft, draft))
            image.load()
            return _to_rgb(_upright(image))
    # Decoders raise whatever the broken bytes lead them to: OSError, SyntaxError, ValueError, struct.error, …
    except Exception as error:
        raise UserError(f"cannot read image {path}: {error or type(error).__name__}") from error


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


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # broken metadata must not cost the picture
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow would clip 16 bits at 255, which makes nearly everything white.
        image = Image.fromarray((np.asarray(image) // 256).clip(0, 255).astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")
