"""Drawn scenes of the mini world as a multi-label set; the pictures are drawn when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from PIL import Image

from clipprompt.datasets.images import MultiLabelImages
from clipprompt.errors import UserError
from clipprompt.mini.render import render_scene
from clipprompt.mini.scenes import VOC_CLASSES, sample_scene, split_seeds

# "captions" is the split whose scenes are never drawn: training prompts from captions must not see them.
IMAGE_SPLITS = ("train", "val", "test", "extra")


def load_scenes(
    split: str = "test", n_images: int = 500, *, classnames: Sequence[str] = VOC_CLASSES, size: int = 64
) -> MultiLabelImages:
    """The first scenes of a split.

    Args:
        split: train, val, test or extra.
        n_images: N, how many scenes.
        classnames: the classes that are labelled; objects of other kinds stay in the pictures.
        size: side of the pictures in pixels.

    Raises:
        UserError: for an unknown split, or a number of scenes that it does not hold.
    """
    check_split(split)
    seeds = split_seeds(split, n_images)
    return MultiLabelImages(
        name=f"mini:{split}",
        items=seeds,
        classnames=tuple(classnames),
        targets=np.array([sample_scene(seed).labels(classnames) for seed in seeds], dtype=np.int8),
        ids=tuple(f"{split}/{seed}" for seed in seeds),
        open_item=partial(_draw, size=size),
    )


def check_split(split: str) -> None:
    """Refuses splits that hold no pictures.

    Raises:
        UserError: with the splits that do.
    """
    if split not in IMAGE_SPLITS:
        raise UserError(f"the mini world has no image split {split!r}; choose one of {', '.join(IMAGE_SPLITS)}")


def _draw(seed: int, size: int) -> Image.Image:
    return render_scene(sample_scene(seed), size)
