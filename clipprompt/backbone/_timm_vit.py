"""timm's transformers inside open_clip: SigLIP, EVA, PE, ViTamin, MobileCLIP-B and their like.

They differ in stem (patches or convolutions), positions (learnt, rotary, both, none), class token, norms and MLPs.
Their own modules run all of that; the walk only hands tokens from one to the next. Behind a stem of convolutions
(ViTamin, MobileCLIP-B) prompts enter where its feature map becomes tokens.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from open_clip.timm_model import TimmModel
from timm.layers.hybrid_embed import HybridEmbed
from timm.layers.patch_embed import PatchEmbed
from timm.layers.pos_embed import resample_abs_pos_embed
from timm.layers.pos_embed_sincos import RotaryEmbeddingCat
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from clipprompt.backbone._injection import Channels, embed_channels
from clipprompt.backbone._vision import Hidden, compute_dtype, joint_size
from clipprompt.backbone._walk import Layer, TransformerTower, alone
from clipprompt.errors import UserError

TRUNKS = (VisionTransformer, Eva)


class TimmViTTower(TransformerTower):
    """A timm VisionTransformer or Eva with the head that open_clip gives it."""

    def __init__(self, visual: TimmModel) -> None:
        trunk: Any = visual.trunk
        for part, kinds in ((trunk.patch_embed, (PatchEmbed, HybridEmbed)), (_rope(trunk), (RotaryEmbeddingCat,))):
            if part is not None and type(part) not in kinds:
                raise UserError(f"the image tower has a {type(part).__name__}, which is not supported")
        if trunk.global_pool not in ("token", "avg", "map"):
            raise UserError(f"the image tower's pooling {trunk.global_pool!r} is not supported; token, avg and map are")
        sides = trunk.patch_embed.feat_ratio(as_scalar=False)
        if sides[0] != sides[1]:
            raise UserError(f"the image tower's patches are not square ({sides}), which is not supported")
        self._visual, self._trunk = visual, trunk
        self.module = visual
        self._native_size = trunk.patch_embed.img_size
        self.width = trunk.embed_dim
        self.embed_dim = joint_size(visual)
        self.patch_size = sides[0]
        self.n_layers = len(trunk.blocks)
        self.n_prefix = trunk.num_prefix_tokens
        self.block_names = tuple(f"trunk.blocks.{i}" for i in range(self.n_layers))
        self.final_width = trunk.num_features
        self._has_class_token = trunk.cls_token is not None
        self._n_pooling = 1 if trunk.attn_pool is None else 0

    def _embed(self, images: Tensor, grid: tuple[int, int], channels: Channels | None) -> Tensor:
        trunk, stem = self._trunk, self._trunk.patch_embed
        places = images.to(compute_dtype(self._visual))
        if isinstance(stem, HybridEmbed):
            places = stem.backbone(places)
        places = stem.proj(places)
        if channels is not None:
            places = places + self._embed_channels(channels, places)
        places = places.flatten(2).transpose(1, 2)
        if isinstance(stem, PatchEmbed):
            places = stem.norm(places)
        first = [token.expand(len(images), -1, -1) for token in (trunk.cls_token, trunk.reg_token) if token is not None]
        if trunk.pos_embed is None:
            return torch.cat([*first, places], dim=1)
        n_first = 0 if trunk.no_embed_class else trunk.num_prefix_tokens
        positions: Tensor = resample_abs_pos_embed(trunk.pos_embed, grid, stem.grid_size, n_first)
        if trunk.no_embed_class:
            return torch.cat([*first, places + positions], dim=1)
        return torch.cat([*first, places], dim=1) + positions

    def _norm_before(self, states: Tensor) -> Tensor:
        normed: Tensor = self._trunk.norm_pre(states)
        return normed

    def _layers(self, grid: tuple[int, int], n_prompts: int) -> Sequence[Layer]:
        rope = _rope(self._trunk)
        if rope is None:
            return list(self._trunk.blocks)
        angles = _rotations(rope, grid, n_prompts)
        return [partial(block, rope=angles) for block in self._trunk.blocks]

    def _final(self, hidden: Hidden) -> Tensor:
        own = slice(0, self._n_own(hidden))
        feature: Tensor = self._trunk.forward_head(self._last_states(hidden, own), pre_logits=True)
        return feature

    def _mean(self, hidden: Hidden, span: slice) -> Tensor:
        mean: Tensor = self._trunk.fc_norm(self._last_states(hidden, span).mean(dim=1))
        return mean

    def _project(self, hidden: Hidden) -> Tensor:
        trunk, own = self._trunk, slice(self.n_prefix, self._n_own(hidden))
        if trunk.attn_pool is None:
            places = trunk.norm(alone(trunk.blocks[-1], hidden.states[:, own]))
        else:
            places = alone(trunk.attn_pool, self._last_states(hidden, own))
        return self._to_joint(trunk.fc_norm(places))

    def _to_joint(self, states: Tensor) -> Tensor:
        projected: Tensor = self._visual.head(self._trunk.head(states))
        return projected

    def _last_states(self, hidden: Hidden, span: slice) -> Tensor:
        """Some tokens after all layers and the final norm."""
        states = hidden.states
        if self._n_pooling:
            states = self._layers(hidden.grid, states.shape[1] - self._n_own(hidden))[-1](states)
        normed: Tensor = self._trunk.norm(states[:, span])
        return normed

    def _embed_channels(self, channels: Channels, places: Tensor) -> Tensor:
        if isinstance(self._trunk.patch_embed, HybridEmbed):
            raise UserError("prompts on channels need an image tower that embeds its patches at once, such as ViT-B-16")
        return embed_channels(channels, places, self.patch_size)


def _rope(trunk: VisionTransformer | Eva) -> RotaryEmbeddingCat | None:
    return getattr(trunk, "rope", None)


def _rotations(rope: RotaryEmbeddingCat, grid: tuple[int, int], n_prompts: int) -> Tensor:
    """Sines and cosines (P + n, 2 * width of a head) of the places, then of prompts, which are not turned: 0 and 1."""
    if rope.feat_shape is not None and tuple(rope.feat_shape) != grid:
        rope = copy.deepcopy(rope)  # a few numbers; the model's own keeps its size
        rope.update_feat_shape(list(grid))
    places = rope.get_embed(list(grid))
    still = places.new_zeros(n_prompts, places.shape[1])
    still[:, places.shape[1] // 2 :] = 1
    return torch.cat([places, still])
