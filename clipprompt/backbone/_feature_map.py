"""timm's towers that end in a feature map: ConvNeXt, FastViT (MobileCLIP) and Swin. They take no prompts."""

from __future__ import annotations

from typing import Any

import torch
from open_clip.timm_model import TimmModel
from timm.models.convnext import ConvNeXt
from timm.models.fastvit import FastVit
from timm.models.swin_transformer import SwinTransformer
from torch import Tensor

from clipprompt.backbone._stages import StagesTower, Step, blocks_of
from clipprompt.backbone._vision import Hidden, joint_size
from clipprompt.errors import UserError

TRUNKS = (ConvNeXt, FastVit, SwinTransformer)


class FeatureMapTower(StagesTower):
    """Stages, then a head that averages the last feature map, norms and projects.

    A place's feature is the head's on that place alone, as if it were the whole map: the same norm and projection.
    """

    pools_with_positions = False

    def __init__(self, visual: TimmModel) -> None:
        if hasattr(visual.head, "pool"):
            raise UserError(f"the image tower ends in a {type(visual.head.pool).__name__}, which is not supported")
        self.module = self._visual = visual
        self._trunk: Any = visual.trunk
        self.kind = type(self._trunk).__name__
        self._only_size = visual.image_size if type(self._trunk) is SwinTransformer else None
        self._steps = _steps(self._trunk)
        self._colours_last = getattr(visual.trunk, "output_fmt", "NCHW") == "NHWC"
        self.patch_size: int = visual.trunk.feature_info[-1]["reduction"]
        self.width: int = visual.trunk.num_features
        self.final_width: int = visual.trunk.head_hidden_size
        self.embed_dim: int = joint_size(visual)

    def pool(self, hidden: Hidden, *, positional: bool = True) -> Tensor:
        """The image's feature.

        Args:
            hidden: from ``trunk``.
            positional: has no meaning here, where nothing is pooled by position.

        Returns:
            float32 (B, E).
        """
        return self._to_joint(self._head(self._as_map(hidden)))

    def project(self, hidden: Hidden, *, positional: bool = False, mean_token: bool = False) -> Tensor:
        """Each place through the head on its own.

        Args:
            hidden: from ``trunk``.
            positional: has no meaning here.
            mean_token: put the image's own feature in front as one more region.

        Returns:
            float32 (B, P, E), or (B, 1 + P, E) with the image's own feature first.
        """
        places = self._to_joint(self._head(self._as_map(Hidden(hidden.states.flatten(0, 1)[:, None], (1, 1)))))
        places = places.unflatten(0, hidden.states.shape[:2])
        return torch.cat([self.pool(hidden)[:, None], places], dim=1) if mean_token else places

    def _final(self, hidden: Hidden) -> Tensor:
        return self._head(self._as_map(hidden))

    def _head(self, maps: Tensor) -> Tensor:
        """Features (N, ``final_width``) of feature maps."""
        features: Tensor = self._trunk.forward_head(maps, pre_logits=True)
        return features

    def _to_joint(self, features: Tensor) -> Tensor:
        projected: Tensor = self._visual.head(self._trunk.get_classifier()(features)).float()
        return projected


def _steps(trunk: Any) -> list[Step]:
    """ConvNeXt: stem, stages, norm. FastViT: stem, stages, a last convolution. Swin: patches, stages, norm."""
    first, stages, last = {
        ConvNeXt: ("stem", "stages", "norm_pre"),
        FastVit: ("stem", "stages", "final_conv"),
        SwinTransformer: ("patch_embed", "layers", "norm"),
    }[type(trunk)]
    between = [
        [Step(stage.downsample), *([Step(stage.pos_emb)] if hasattr(stage, "pos_emb") else [])]
        for stage in getattr(trunk, stages)
    ]
    blocks = [blocks_of(f"trunk.{stages}.{i}.blocks", stage.blocks) for i, stage in enumerate(getattr(trunk, stages))]
    walked = [step for both in zip(between, blocks, strict=True) for part in both for step in part]
    return [Step(getattr(trunk, first)), *walked, Step(getattr(trunk, last))]
