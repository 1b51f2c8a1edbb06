"""The loss by which a small transformer learns to see as mini does."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from clipprompt.backbone._vit import ViTTower
from clipprompt.mini.scenes import VOC_CLASSES
from tools._mini_teacher import Targets, Teacher
from tools.pretrain_mini import to_input


class Distillation:
    """Squared distances to mini's features, and the divergence of the class probabilities that both give."""

    def __init__(self, teacher: Teacher, pictures: NDArray[np.uint8], targets: Targets, config: dict[str, Any]) -> None:
        self._pictures, self._targets, self._config = pictures, targets, config
        self._texts, self._scale = teacher.class_features(VOC_CLASSES), teacher.backbone.logit_scale

    def __call__(self, visual: Any, rows: NDArray[np.int64]) -> Tensor:
        """The mean loss of an open_clip VisionTransformer on these rows."""
        config, tower = self._config, ViTTower(visual)
        images, places = (torch.from_numpy(array[rows]).float() for array in self._targets)
        hidden = tower.trunk(to_input(self._pictures[rows], config["preprocess_cfg"]))
        pooled = F.normalize(tower.pool(hidden), dim=-1)
        local = coarser(tower.project(hidden), hidden.grid, round(places.shape[1] ** 0.5))
        loss: Tensor = (
            config["image_weight"] * (pooled - images).square().sum(-1).mean()
            + config["places_weight"] * (local - places).square().sum(-1).mean()
            + config["class_weight"] * self._divergence(pooled, images)
        )
        return loss

    def _divergence(self, pooled: Tensor, images: Tensor) -> Tensor:
        ours, theirs = (F.log_softmax(self._scale * x @ self._texts.T, dim=-1) for x in (pooled, images))
        return F.kl_div(ours, theirs, log_target=True, reduction="batchmean")


def coarser(places: Tensor, grid: tuple[int, int], side: int) -> Tensor:
    """Normalised means over blocks of places: (B, rows * columns, E) to (B, side * side, E)."""
    rows, columns = grid
    blocks = places.unflatten(1, (side, rows // side, side, columns // side)).mean((2, 4))
    return F.normalize(blocks.flatten(1, 2), dim=-1)
