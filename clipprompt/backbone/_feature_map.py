"""timm's towers that end in a feature map: ConvNeXt, FastViT (MobileCLIP), ResNet; and what Swin shares with them."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from open_clip.timm_model import TimmModel
from timm.models.convnext import ConvNeXt
from timm.models.fastvit import FastVit
from timm.models.resnet import ResNet
from timm.models.swin_transformer import SwinTransformer
from torch import Tensor

from clipprompt.backbone._stages import StagesTower, Step, blocks_of
from clipprompt.backbone._vision import Hidden, joint_size
from clipprompt.errors import UserError

TRUNKS = (ConvNeXt, FastVit, ResNet)


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
    if type(trunk) is ResNet:
        stages = [step for i in range(1, 5) for step in blocks_of(f"trunk.layer{i}", getattr(trunk, f"layer{i}"))]
        return [Step(partial(_resnet_stem, trunk)), *stages]
    first, name, last = {
        ConvNeXt: ("stem", "stages", "norm_pre"),
        FastVit: ("stem", "stages", "final_conv"),
        SwinTransformer: ("patch_embed", "layers", "norm"),
    }[type(trunk)]
    walked: list[Step] = []
    for i, stage in enumerate(getattr(trunk, name)):
        between = [Step(stage.downsample), *([Step(stage.pos_emb)] if hasattr(stage, "pos_emb") else [])]
        walked += between + blocks_of(f"trunk.{name}.{i}.blocks", stage.blocks)
    return [Step(getattr(trunk, first)), *walked, Step(getattr(trunk, last))]


def _resnet_stem(trunk: ResNet, images: Tensor) -> Tensor:
    stem: Tensor = trunk.maxpool(trunk.act1(trunk.bn1(trunk.conv1(images))))
    return stem
