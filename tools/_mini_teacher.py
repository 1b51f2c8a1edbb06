"""What mini makes of pictures; for all training pictures computed once into a folder and read back memory-mapped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from clipprompt.backbone import load_backbone
from clipprompt.mini import ASSETS
from tools._mini_data import save_array
from tools.pretrain_mini import to_input

_AT_ONCE = 50


class Targets(NamedTuple):
    """Normalised features of mini, float16: of the pictures (N, E) and of their places (N, P, E)."""

    images: NDArray[np.float16]
    places: NDArray[np.float16]


class Teacher:
    """The shipped mini."""

    def __init__(self) -> None:
        self.backbone = load_backbone("mini", device="cpu")
        config = json.loads((ASSETS / "open_clip_config.json").read_text(encoding="utf-8"))
        self._preprocess = config["preprocess_cfg"]

    @torch.inference_mode()
    def features(self, pictures: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
        """Normalised features of pictures (B, size, size, 3) and of their places: (B, E) and (B, P, E)."""
        tower = self.backbone.vision
        hidden = tower.trunk(to_input(pictures, self._preprocess))
        return F.normalize(tower.pool(hidden), dim=-1), F.normalize(tower.project(hidden), dim=-1)

    def class_features(self, names: Sequence[str]) -> Tensor:
        """Normalised features (C, E) of the classes with the usual template."""
        tokens = self.backbone.tokenize([f"a photo of a {name}." for name in names])
        return F.normalize(self.backbone.encode_text(tokens), dim=-1)

    def targets(self, folder: Path, pictures: NDArray[np.uint8], threads: int) -> Targets:
        """The features of all pictures; computed by so many threads if not there yet."""
        paths = [folder / "teacher_images.npy", folder / "teacher_places.npy"]
        if not all(path.exists() for path in paths):
            arrays = [np.empty((len(pictures), *part.shape[1:]), np.float16) for part in self.features(pictures[:1])]

            def work(start: int) -> None:
                block = slice(start, start + _AT_ONCE)
                for array, part in zip(arrays, self.features(pictures[block]), strict=True):
                    array[block] = part.half().numpy()

            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(work, range(0, len(pictures), _AT_ONCE)))
            for path, array in zip(paths, arrays, strict=True):
                save_array(path, array)
        return Targets(*(np.load(path, mmap_mode="r") for path in paths))
