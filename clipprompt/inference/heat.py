"""Heat maps as pictures: a few numbers per label become a small translucent picture to lay over the photo."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

# Cold places stay clear, so that what the label was seen in is all that is covered.
_STOPS = (0.0, 0.35, 0.6, 0.8, 1.0)
_COLOURS = ((76, 29, 149, 0), (126, 34, 206, 30), (219, 39, 119, 95), (249, 115, 22, 130), (254, 224, 71, 155))
_LEVELS = 32  # enough for smooth shades, few enough for a small file
_SIDE = 28


def heat_overlay(heat: npt.ArrayLike) -> Image.Image | None:
    """A heat map as a small picture with transparency, to be stretched over what the model saw.

    Colours run from the map's own coldest place (clear) to its hottest (yellow): they compare places of one picture
    for one label, and say nothing about how sure the label is.

    Args:
        heat: (rows, cols), of any scale; places that are not finite count as cold.

    Returns:
        A palette picture of at most 28 pixels a side for a coarser map (bicubic), of the map's own size for a finer
        one; None where there is nothing to see: no finite place, or all places alike.

    Raises:
        ValueError: if the array has not two dimensions.
    """
    values = np.asarray(heat, dtype=np.float32)
    if values.ndim != 2:
        raise ValueError(f"a heat map has rows and columns, not the shape {values.shape}")
    finite = values[np.isfinite(values)]
    if finite.size == 0 or np.ptp(finite) <= 1e-6 * np.abs(finite).max():
        return None
    cold, hot = float(finite.min()), float(finite.max())
    share = (np.where(np.isfinite(values), values, cold) - cold) / (hot - cold)
    levels = np.rint(_enlarge(share).clip(0, 1) * (_LEVELS - 1)).astype(np.uint8)
    picture = Image.fromarray(levels)
    picture.putpalette(_palette(), rawmode="RGBA")
    return picture


def _enlarge(share: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
    """The map with up to 28 places a side, because browsers enlarge in straight lines, which shows the grid."""
    rows, columns = share.shape
    factor = max(1, _SIDE // max(rows, columns))
    enlarged = Image.fromarray(share).resize((columns * factor, rows * factor), Image.Resampling.BICUBIC)
    return np.asarray(enlarged)


def _palette() -> list[int]:
    shares = np.linspace(0, 1, _LEVELS)
    channels = [np.interp(shares, _STOPS, [colour[channel] for colour in _COLOURS]) for channel in range(4)]
    return [round(value) for value in np.stack(channels, axis=1).ravel().tolist()]
