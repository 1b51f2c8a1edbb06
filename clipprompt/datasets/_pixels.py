"""Pixels of every kind as 8-bit RGB."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image


def to_rgb(image: Image.Image) -> Image.Image:
    """The picture in RGB; the same object where it is RGB already.

    Integers of more than 8 bits lose the lower ones, floats in 0..1 or 0..255 keep their meaning, and other ranges are
    stretched from black to white. Transparency is dropped: what is seen is the colour below it.

    Raises:
        ValueError: for a mode that has no RGB, such as LAB.
    """
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I") or image.mode == "F":
        # Pillow would clip at 255, which makes nearly everything white.
        image = Image.fromarray(_as_bytes(np.asarray(image)))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def _as_bytes(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if values.dtype.kind in "ui" and values.min() >= 0 and values.max() < 1 << 16:
        return np.asarray(values // 256, dtype=np.uint8)
    floats = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    low, high = float(floats.min()), float(floats.max())
    if low >= 0 and high <= 255:
        low, high = 0.0, 1.0 if high <= 1 else 255.0
    return np.asarray(np.rint((floats - low) * (255 / ((high - low) or 1.0))), dtype=np.uint8)
