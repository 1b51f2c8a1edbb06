"""A random view of a picture, as CoOp and those after it train on: a resized crop, perhaps mirrored.

    picture --crop: 8 to 100 % of its area, 3:4 to 4:3--> resize, bicubic --half of the time, mirrored--> view

A view is a function of the seed, the epoch and the picture's number alone: a run can be cut off and gone on with at any
batch, with any number of decoding threads. The crop is that of Szegedy et al. (arXiv 1409.4842, section 6).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as transforms

_AREA = (0.08, 1.0)
_RATIO = (3 / 4, 4 / 3)
_ATTEMPTS = 10
_STREAM = 0x71E35  # other draws of the same seed and epoch are the order of the batches


class Box(NamedTuple):
    """A part of a picture, in pixels."""

    top: int
    left: int
    height: int
    width: int


def draw_view(image: Image.Image, size: tuple[int, int], seed: int, epoch: int, sample: int) -> Image.Image:
    """A random view of a picture.

    Args:
        image: RGB.
        size: (height, width) of the view.
        seed: of the run.
        epoch: counted from 0.
        sample: number of the picture in its set.
    """
    random = np.random.default_rng([seed, _STREAM, epoch, sample])
    box = draw_box(image.size, random)
    view = transforms.resized_crop(image, *box, list(size), InterpolationMode.BICUBIC)
    mirrored: Image.Image = transforms.hflip(view) if random.random() < 0.5 else view
    return mirrored


def draw_box(size: tuple[int, int], random: np.random.Generator) -> Box:
    """The part of a picture (width, height) that a view shows.

    Area and ratio are drawn, the ratio evenly in its logarithm, until a box of them fits in; of a picture so long that
    ten do not, the middle is taken.
    """
    width, height = size
    for _ in range(_ATTEMPTS):
        area = width * height * random.uniform(*_AREA)
        ratio = math.exp(random.uniform(math.log(_RATIO[0]), math.log(_RATIO[1])))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return Box(int(random.integers(height - h + 1)), int(random.integers(width - w + 1)), h, w)
    ratio = min(max(width / height, _RATIO[0]), _RATIO[1])
    w, h = min(width, max(1, round(height * ratio))), min(height, max(1, round(width / ratio)))
    return Box((height - h) // 2, (width - w) // 2, h, w)
