"""Every kind of image tower that open_clip builds, through its own configurations, with few and narrow layers."""

from __future__ import annotations

from functools import partial
from typing import Any
from unittest import mock

import timm
import torch
from open_clip.factory import get_model_config
from open_clip.model import _build_vision_tower

EMBED_DIM = 32
_VIT = {"depth": 3, "embed_dim": 48, "num_heads": 2}
_CONVNEXT = {"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32)}

# By architecture (before a comma): pixels of a side, and what replaces timm's sizes. Convolutions at the entrance keep
# their width.
TIMM_VITS: dict[str, tuple[int, dict[str, Any]]] = {
    "ViT-B-16-SigLIP": (64, _VIT),  # attention pool, no class token
    "EVA01-g-14": (56, _VIT),  # class token
    "EVA02-B-16": (64, _VIT),  # rotary positions, SwiGLU with a norm
    "EVA02-E-14": (56, _VIT),  # norms behind attention and MLP
    "PE-Core-B-16": (64, _VIT),  # rotary positions, class token, attention pool over both
    "PE-Core-bigG-14-448": (56, _VIT),  # the same without a class token
    "MobileCLIP-B": (64, {"depth": 3}),  # stem of convolutions, class token without a position
    "MobileCLIP2-L-14": (56, {**_VIT, "init_values": 0.1}),  # norm before the first layer; layer scale
    "ViTamin-S": (64, {"depth": 3}),  # stages of convolutions, mean
    "ViTamin-S, as XL": (64, {"depth": 3, "pos_embed": "none"}),  # the same without positions
    "vit_medium_patch16_gap_256": (64, _VIT),  # mean, projection outside the trunk
}
FEATURE_MAPS: dict[str, tuple[int, dict[str, Any]]] = {
    "convnext_base": (64, _CONVNEXT),
    "convnext_large_d": (64, _CONVNEXT),  # projected by an MLP
    "MobileCLIP2-S0": (64, {"layers": (1, 1, 1, 1), "embed_dims": (16, 32, 64, 128)}),
    "MobileCLIP2-S3": (128, {"layers": (1, 1, 1, 1, 1), "embed_dims": (16, 32, 64, 128, 128)}),  # five stages
    "swin_base_patch4_window7_224": (224, {"depths": (1, 1, 1, 1), "embed_dim": 16, "num_heads": (1, 2, 4, 8)}),
}
COCA = {"image_size": 64, "layers": 3, "width": 64, "head_width": 32, "patch_size": 16}
COCA |= {"attentional_pool": True, "attn_pooler_queries": 4, "attn_pooler_heads": 2}


def reduced_visual(name: str, **overrides: Any) -> Any:
    """The image tower of an architecture with random weights that make every part matter, in evaluation mode."""
    config: dict[str, Any] = {**COCA}
    replaced: dict[str, Any] = {}
    if name != "coca":
        side, replaced = {**TIMM_VITS, **FEATURE_MAPS}[name]
        config = {
            **get_model_config(name.split(",")[0])["vision_cfg"],
            "image_size": side,
            "timm_model_pretrained": False,
        }
        replaced = {**replaced, **overrides}
        if name in TIMM_VITS:
            replaced = {"img_size": side, **replaced}
    with torch.random.fork_rng(devices=[]), mock.patch("timm.create_model", partial(timm.create_model, **replaced)):
        torch.default_generator.manual_seed(0)
        visual = _build_vision_tower(EMBED_DIM, config)
        for parameter in visual.parameters():  # as made, biases and scales are nothing and attention hardly is
            noise = torch.randn_like(parameter)
            fan_in = parameter[0].numel()
            parameter.data = parameter + 0.1 * noise if parameter.ndim == 1 else noise * fan_in**-0.5
    return visual.requires_grad_(False).eval()
