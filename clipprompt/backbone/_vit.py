"""open_clip's VisionTransformer: pooled by class token (CLIP), mean (CLIPA) or attention (CoCa)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from open_clip.transformer import AttentionalPooler, VisionTransformer
from torch import Tensor

from clipprompt.backbone._blocks import check_blocks, run_block, run_value_path
from clipprompt.backbone._injection import Channels, embed_channels
from clipprompt.backbone._vision import Hidden, compute_dtype, resize_positions
from clipprompt.backbone._walk import Layer, TransformerTower, alone
from clipprompt.errors import UserError

_CLASS = slice(0, 1)


class ViTTower(TransformerTower):
    """The transformer tower of CLIP. Of the layer that pools, only what is read is computed."""

    def __init__(self, visual: VisionTransformer) -> None:
        pooler = visual.attn_pool
        if pooler is not None and (visual.attn_pool_contrastive is not None or visual.pool_type != "tok"):
            raise UserError("the image tower has two attention pools or reads all of one, which is not supported")
        if visual.pool_type not in ("tok", "avg"):
            raise UserError(f"the image tower's pooling {visual.pool_type!r} is not supported; tok and avg are")
        check_blocks(visual.transformer.resblocks, "image")
        if visual.patch_size[0] != visual.patch_size[1]:
            raise UserError(f"the image tower's patches are not square ({visual.patch_size}), which is not supported")
        self.module = self._visual = visual
        self._blocks = visual.transformer.resblocks
        self._native_size = visual.image_size
        self.width = visual.conv1.out_channels
        self.embed_dim = visual.output_dim
        self.patch_size = visual.patch_size[0]
        self.n_layers = len(self._blocks)
        self.n_prefix = 1
        self.block_names = tuple(f"transformer.resblocks.{i}" for i in range(self.n_layers))
        self.final_width = visual.ln_post.normalized_shape[0]
        self._has_class_token = True
        self._n_pooling = 1 if pooler is None else 0

    def _embed(self, images: Tensor, grid: tuple[int, int], channels: Channels | None) -> Tensor:
        visual = self._visual
        places = visual.conv1(images.to(compute_dtype(self._visual)))
        if channels is not None:
            places = places + embed_channels(channels, places, self.patch_size)
        patches = places.flatten(2).transpose(1, 2)
        first = visual.class_embedding.to(patches.dtype).expand(len(images), 1, -1)
        positions = resize_positions(visual.positional_embedding, visual.grid_size, grid)
        return torch.cat([first, patches], dim=1) + positions.to(patches.dtype)

    def _norm_before(self, states: Tensor) -> Tensor:
        normed: Tensor = self._visual.ln_pre(states)
        return normed

    def _layers(self, grid: tuple[int, int], n_prompts: int) -> Sequence[Layer]:
        return [partial(run_block, block) for block in self._blocks]

    def _final(self, hidden: Hidden) -> Tensor:
        visual, own = self._visual, slice(0, self._n_own(hidden))
        if visual.attn_pool is not None:
            feature: Tensor = visual.ln_post(_first_query(visual.attn_pool, hidden.states[:, own])[:, 0])
            return feature
        return self._mean(hidden, _CLASS if visual.pool_type == "tok" else slice(1, own.stop))

    def _mean(self, hidden: Hidden, span: slice) -> Tensor:
        visual, states = self._visual, hidden.states
        if visual.attn_pool is not None:
            raise UserError("this image tower reads its tokens through an attention pool: pool=own is what it has")
        if span == _CLASS:
            tokens = run_block(self._blocks[-1], states, rows=states.new_zeros(len(states), 1, dtype=torch.long))
        else:
            tokens = run_block(self._blocks[-1], states)[:, span]
        if visual.final_ln_after_pool:
            normed: Tensor = visual.ln_post(tokens.mean(dim=1))
            return normed
        mean: Tensor = visual.ln_post(tokens).mean(dim=1)
        return mean

    def _project(self, hidden: Hidden) -> Tensor:
        places = hidden.states[:, 1 : 1 + hidden.grid[0] * hidden.grid[1]]
        if self._visual.attn_pool is None:
            places = run_value_path(self._blocks[-1], places)
        else:
            places = alone(partial(_first_query, self._visual.attn_pool), places)
        return self._to_joint(self._visual.ln_post(places))

    def _to_joint(self, states: Tensor) -> Tensor:
        return states if self._visual.proj is None else states @ self._visual.proj


def _first_query(pooler: AttentionalPooler, states: Tensor) -> Tensor:
    """What the first query reads from ``states`` (N, L, W): (N, 1, E). The others are captions' (CoCa, 2205.01917)."""
    keys = pooler.ln_k(states)
    query = pooler.ln_q(pooler.query[:1]).to(keys.dtype).expand(len(states), -1, -1)
    read: Tensor = pooler.attn(query, keys, keys, need_weights=False)[0]
    return read
