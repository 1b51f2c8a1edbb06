"""Looks of pictures that the mini CLIPs have not seen: what is drawn stays, how it looks changes.

On pictures as they were trained on, hand-written prompts leave little to learn; here they leave much.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

Floats = NDArray[np.float32]
# A picture and the seed of its grain to the picture in another look.
Style = Callable[[Image.Image, int], Image.Image]

_BITS = 2  # of the print's grey tones
_FADED = 0.7  # part of a worn print that is print, the rest is the picture as it was
_STROKE = 2.0  # pixels: how far from an edge a pencil still shades
_DUSK = (0.28, 0.315, 0.455)  # part of red, green and blue that is left at night
_NIGHT_GRAIN, _GRAIN = 5.5, 14.0  # standard deviations, of 255; the pictures themselves have 5


def _worn_print(picture: Image.Image, seed: int) -> Image.Image:
    """Four grey tones that mostly replace the colours."""
    tones = ImageOps.posterize(picture.convert("L"), _BITS).convert("RGB")
    return Image.blend(picture, tones, _FADED)


def _pencil(picture: Image.Image, seed: int) -> Image.Image:
    """White paper, shaded where a place is darker than what is around it: edges stay, areas and colours go."""
    grey = picture.convert("L")
    tone, around = _pixels(grey), _pixels(grey.filter(ImageFilter.GaussianBlur(_STROKE)))
    return _image(255 * tone / (around + 1)).convert("RGB")


def _night(picture: Image.Image, seed: int) -> Image.Image:
    """A third of the light, bluish, and a grain."""
    return _grained(_pixels(picture) * np.array(_DUSK, dtype=np.float32), _NIGHT_GRAIN, seed)


def _noisy(picture: Image.Image, seed: int) -> Image.Image:
    """A stronger grain on the picture as it was."""
    return _grained(_pixels(picture), _GRAIN, seed)


STYLES: dict[str, Style] = {
    "mini-objects": _worn_print,
    "mini-sketch": _pencil,
    "mini-night": _night,
    "mini-noise": _noisy,
}


def _grained(pixels: Floats, deviation: float, seed: int) -> Image.Image:
    # Not the generator of the picture's own noise, which would come out stronger instead of anew.
    grain = np.random.default_rng((seed, 1)).standard_normal(pixels.shape, dtype=np.float32)
    return _image(pixels + np.float32(deviation) * grain)


def _pixels(picture: Image.Image) -> Floats:
    return np.asarray(picture, dtype=np.float32)


def _image(pixels: Floats) -> Image.Image:
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
