"""Drawn pictures of one object each, as a worn print shows them: a style that the mini CLIP has not seen.

On scenes as it was trained on, hand-written prompts leave little to learn; here they leave much.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from PIL import Image, ImageOps

from clipprompt.datasets.images import MultiLabelImages
from clipprompt.datasets.scenes import check_split
from clipprompt.mini.render import render_scene
from clipprompt.mini.scenes import KINDS, sample_object_scene, split_seeds

_BITS = 2  # of the print's grey tones
_FADED = 0.7  # part of the picture that is print, the rest is the picture as it was


def load_objects(
    split: str = "test", n_images: int = 800, *, classnames: Sequence[str] = KINDS, size: int = 64
) -> MultiLabelImages:
    """The first pictures of a split, in each of which one class is present; the classes take turns.

    Args:
        split: train, val, test or extra.
        n_images: N; a multiple of the number of classes has each of them equally often.
        classnames: the kinds that are drawn.
        size: side of the pictures in pixels.

    Raises:
        UserError: for an unknown split or kind, or a number of pictures that it does not hold.
    """
    check_split(split)
    seeds, kinds = split_seeds(split, n_images), tuple(classnames)
    return MultiLabelImages(
        name=f"mini-objects:{split}",
        items=seeds,
        classnames=kinds,
        targets=np.array([sample_object_scene(seed, kinds).labels(kinds) for seed in seeds], dtype=np.int8),
        ids=tuple(f"objects/{split}/{seed}" for seed in seeds),
        open_item=partial(_draw, kinds=kinds, size=size),
    )


def _draw(seed: int, kinds: tuple[str, ...], size: int) -> Image.Image:
    picture = render_scene(sample_object_scene(seed, kinds), size)
    print_ = ImageOps.posterize(picture.convert("L"), _BITS).convert("RGB")
    return Image.blend(picture, print_, _FADED)
