"""timm's towers that end in a feature map: ConvNeXt, FastViT (MobileCLIP) and Swin. They take no prompts."""

from __future__ import annotations

from typing import Any

import torch
from open_clip.timm_model import TimmModel
from timm.models.convnext import ConvNeXt
from timm.models.fastvit import FastVit
from timm.models.swin_transformer import SwinTransformer
from torch import Tensor

from clipprompt.backbone._vision import Hidden, check_size, compute_dtype, joint_size
from clipprompt.errors import UserError

TRUNKS = (ConvNeXt, FastVit, SwinTransformer)


class FeatureMapTower:
    """Stages, then a head that averages the last feature map, norms and projects.

    A place's feature is the head's on that place alone, as if it were the whole map: the same norm and projection.
    """

    n_layers = 0
    pools_with_positions = False

    def __init__(self, visual: TimmModel) -> None:
        if hasattr(visual.head, "pool"):
            raise UserError(f"the image tower ends in a {type(visual.head.pool).__name__}, which is not supported")
        self._visual = visual
        self._trunk: Any = visual.trunk
        self._only_size: tuple[int, int] | None = visual.image_size if type(self._trunk) is SwinTransformer else None
        self._colours_last = getattr(visual.trunk, "output_fmt", "NCHW") == "NHWC"
        self.patch_size: int = visual.trunk.feature_info[-1]["reduction"]
        self.width: int = visual.trunk.num_features
        self.embed_dim: int = joint_size(visual)

    def trunk(self, images: Tensor, prompts: Tensor | None = None, deep: Tensor | None = None) -> Hidden:
        """The last feature map as tokens.

        Args:
            images: (B, 3, H, W), H and W multiples of ``patch_size``. Swin takes its native size alone.
            prompts: must be None.
            deep: must be None.

        Returns:
            Hidden states (B, P, W).

        Raises:
            UserError: if prompts are given, or the size does not fit.
        """
        kind, size = type(self._trunk).__name__, tuple(images.shape[-2:])
        if prompts is not None or deep is not None:
            raise UserError(f"visual prompts need a transformer image tower; this backbone's is a {kind}")
        grid = check_size(images, self.patch_size)
        if self._only_size and size != self._only_size:
            rows, columns = self._only_size
            raise UserError(f"images of {size[1]} x {size[0]} pixels: this {kind} takes {columns} x {rows} only")
        if self._visual.training:  # whoever holds the model may have called train(); its batch norms must not move
            self._visual.eval()
        x = self._trunk.forward_features(images.to(compute_dtype(self._visual)))
        return Hidden(x.flatten(1, 2) if self._colours_last else x.flatten(2).transpose(1, 2), grid)

    def pool(self, hidden: Hidden, *, positional: bool = True) -> Tensor:
        """The image's feature.

        Args:
            hidden: from ``trunk``.
            positional: has no meaning here, where nothing is pooled by position.

        Returns:
            float32 (B, E).
        """
        return self._head(hidden.states.unflatten(1, hidden.grid))

    def project(self, hidden: Hidden, *, positional: bool = False, mean_token: bool = False) -> Tensor:
        """Each place through the head on its own.

        Args:
            hidden: from ``trunk``.
            positional: has no meaning here.
            mean_token: put the image's own feature in front as one more region.

        Returns:
            float32 (B, P, E), or (B, 1 + P, E) with the image's own feature first.
        """
        places = self._head(hidden.states.flatten(0, 1)[:, None, None]).unflatten(0, hidden.states.shape[:2])
        return torch.cat([self.pool(hidden)[:, None], places], dim=1) if mean_token else places

    def _head(self, maps: Tensor) -> Tensor:
        """Features (N, E) of feature maps (N, rows, columns, W)."""
        maps = maps if self._colours_last else maps.permute(0, 3, 1, 2)
        features: Tensor = self._visual.head(self._trunk.forward_head(maps)).float()
        return features
