"""Which class wraps which image tower."""

from __future__ import annotations

from typing import Any

from open_clip.modified_resnet import ModifiedResNet
from open_clip.transformer import VisionTransformer

from clipprompt.backbone import _feature_map, _swin, _timm_vit
from clipprompt.backbone._resnet import ResNetTower
from clipprompt.backbone._vision import VisionTower
from clipprompt.backbone._vit import ViTTower
from clipprompt.errors import UserError


def wrap_vision_tower(visual: Any) -> VisionTower:
    """Wraps the image tower of an open_clip model.

    Raises:
        UserError: naming the kind of tower, or the part of it, that is not supported.
    """
    if isinstance(visual, VisionTransformer):
        return ViTTower(visual)
    if isinstance(visual, ModifiedResNet):
        return ResNetTower(visual)
    trunk = getattr(visual, "trunk", None)
    if type(trunk) in _timm_vit.TRUNKS:
        return _timm_vit.TimmViTTower(visual)
    if type(trunk) in _swin.TRUNKS:
        return _swin.SwinTower(visual)
    if type(trunk) in _feature_map.TRUNKS:
        return _feature_map.FeatureMapTower(visual)
    kind = type(visual if trunk is None else trunk).__name__
    known = ", ".join(kind.__name__ for kind in (*_timm_vit.TRUNKS, *_swin.TRUNKS, *_feature_map.TRUNKS))
    raise UserError(
        f"the image tower is a {kind}; supported are VisionTransformer and ModifiedResNet of open_clip, {known} of timm"
    )
