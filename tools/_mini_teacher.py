"""What mini makes of the training pictures, computed once into a folder and read back memory-mapped."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from clipprompt.backbone import Backbone
from clipprompt.files import replace_file

_AT_ONCE = 50


class Targets(NamedTuple):
    """Normalised features of mini, float16: of the pictures (N, E) and of their places (N, P, E)."""

    images: NDArray[np.float16]
    places: NDArray[np.float16]


def features(
    teacher: Backbone, pictures: NDArray[np.uint8], to_input: Callable[[NDArray[np.uint8]], Tensor]
) -> tuple[Tensor, Tensor]:
    """Normalised features of pictures (B, size, size, 3) and of their places: (B, E) and (B, P, E)."""
    with torch.inference_mode():
        hidden = teacher.vision.trunk(to_input(pictures))
        pooled, places = teacher.vision.pool(hidden), teacher.vision.project(hidden)
        return F.normalize(pooled, dim=-1), F.normalize(places, dim=-1)


def targets(
    folder: Path,
    teacher: Backbone,
    pictures: NDArray[np.uint8],
    to_input: Callable[[NDArray[np.uint8]], Tensor],
    threads: int,
) -> Targets:
    """The features of all pictures; computed by ``threads`` threads if not there yet."""
    paths = [folder / "teacher_images.npy", folder / "teacher_places.npy"]
    if not all(path.exists() for path in paths):
        images, places = features(teacher, pictures[:1], to_input)
        arrays = [np.empty((len(pictures), *part.shape[1:]), np.float16) for part in (images, places)]

        def work(start: int) -> None:
            block = slice(start, start + _AT_ONCE)
            for array, part in zip(arrays, features(teacher, pictures[block], to_input), strict=True):
                array[block] = part.half().numpy()

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, range(0, len(pictures), _AT_ONCE)))
        for path, array in zip(paths, arrays, strict=True):
            with replace_file(path) as part, part.open("wb") as file:
                np.save(file, array)
    return Targets(*(np.load(path, mmap_mode="r") for path in paths))
