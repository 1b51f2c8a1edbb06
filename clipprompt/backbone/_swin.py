r"""timm's Swin Transformer with prompts in its windows (VPT, arXiv 2203.12119; Swin, arXiv 2103.14030).

places (B, rows, columns, W) -- norm, shift, cut --> window 1 … window N, each with the same prompts beside its places
                                                       |            |         attention within the window
                       back into place <---------------+------------+-----> prompts: the mean over windows
stage 1: block 0, block 1 -- four places become one, prompts are left out --> stage 2: block 2 …

A window's places attend to each other with their relative positions, and in shifted windows not across the picture's
edges; to prompts, which have no place, they and the prompts attend freely. As prompts stand in every window, one window
tells another through them.
"""

from __future__ import annotations

from typing import Any

import torch
from open_clip.timm_model import TimmModel
from timm.models.swin_transformer import SwinTransformer, window_partition, window_reverse
from torch import Tensor
from torch.nn import functional as F

from clipprompt.backbone._feature_map import FeatureMapTower
from clipprompt.backbone._injection import Channels, Injected, by_layer, check_layers, embed_channels
from clipprompt.backbone._vision import Hidden, Pool, compute_dtype
from clipprompt.errors import UserError

TRUNKS = (SwinTransformer,)


class SwinTower(FeatureMapTower):
    """Stages of window attention, with prompts in the windows of any block.

    A stage's prompts have its width, and none goes over into the next stage: there, others may enter.

    Attributes:
        only_size: rows and columns of pixels; windows and their relative positions are made for no other.
    """

    def __init__(self, visual: TimmModel) -> None:
        super().__init__(visual)
        self.only_size: tuple[int, int] = visual.image_size
        self.layer_widths = tuple(block.dim for stage in self._trunk.layers for block in stage.blocks)
        self.n_layers = len(self.layer_widths)

    def trunk(
        self,
        images: Tensor,
        prompts: Tensor | None = None,
        deep: Tensor | None = None,
        *,
        injected: Injected | None = None,
    ) -> Hidden:
        """The last stage's tokens behind the final norm.

        Args:
            images: (B, 3, H, W) of the tower's own size.
            prompts: tokens beside the places of every window of the first stage: (n, W) or (B, n, W), W of its blocks.
            deep: tokens that replace them before blocks 1, 2, … of the first stage: (J-1, n, W) or (J-1, B, n, W).
            injected: in the place of both, whatever a learner puts in, each of its block's width; no frame.

        Returns:
            Hidden states (B, P + n, W), with the n prompts that reached the end.

        Raises:
            UserError: if the size does not fit, or for a frame, which would make the picture larger.
            ValueError: for a block that is not there, or prompts of another width.
        """
        injected = injected or by_layer(prompts, deep)
        self._check(injected, 0)
        if injected.channels is not None:
            return self._walk(self._embed(images, injected.channels), 0, injected)
        first = injected.first_layer
        return self._walk(self.trunk_to(images, first), first, injected)

    def trunk_from(self, hidden: Hidden, layer: int, injected: Injected | None = None) -> Hidden:
        """The rest of the trunk from the states that enter block ``layer``.

        Raises:
            ValueError: for a block that is not there, prompts of another width or before this block, or on pixels.
        """
        injected = injected or Injected()
        if injected.changes_pixels:
            raise ValueError("what changes the pixels enters by trunk: within it, they are gone")
        self._check(injected, layer)
        return self._walk(hidden, layer, injected)

    def final(self, hidden: Hidden, pool: Pool = "own") -> Tensor:
        """The image's feature before the projection into the joint space, or the mean of other tokens in its place.

        Args:
            hidden: from ``trunk``.
            pool: ``own`` as the tower pools its places, ``image`` their mean, ``prompts``, or ``all``.

        Returns:
            float32 (B, ``final_width``).

        Raises:
            UserError: where there are no such tokens.
        """
        if pool == "own":
            return super().final(hidden)
        n_places = hidden.grid[0] * hidden.grid[1]
        if pool == "class":
            raise UserError(f"pool=class needs a class token, which a {self.kind} has not: image is its places' mean")
        if pool == "prompts" and hidden.states.shape[1] == n_places:
            raise UserError("pool=prompts needs prompts in the last stage of this image tower: image is the nearest")
        first, last = {"image": (0, n_places), "prompts": (n_places, None), "all": (0, None)}[pool]
        return hidden.states[:, first:last].float().mean(dim=1)

    def project(self, hidden: Hidden, *, positional: bool = False, mean_token: bool = False) -> Tensor:
        """Each place through the head on its own; prompts are left out. See ``FeatureMapTower``."""
        n_places = hidden.grid[0] * hidden.grid[1]
        return super().project(hidden._replace(states=hidden.states[:, :n_places]), mean_token=mean_token)

    def attention(self, images: Tensor, injected: Injected | None, layer: int) -> Tensor:
        """Refuses: every window attends on its own."""
        raise UserError(f"attention needs tokens that all attend to each other; a {self.kind}'s do within windows")

    def _check(self, injected: Injected, layer: int) -> None:
        if injected.frame is not None:
            rows, columns = self.only_size
            raise UserError(
                f"a {self.kind} takes pictures of {columns} x {rows} pixels alone, so nothing goes around them; "
                "where=prepend, add and channels work"
            )
        check_layers(injected, layer, self.n_layers)
        for index, prompts in (*injected.tokens.items(), *injected.added.items()):
            if prompts.shape[-1] != (width := self.layer_widths[index]):
                raise ValueError(f"prompts of width {prompts.shape[-1]} enter block {index}, whose width is {width}")

    def _embed(self, images: Tensor, channels: Channels) -> Hidden:
        """The states that enter block 0, with prompts beside the colours."""
        self._check_images(images)
        self.module.eval()
        patches = self._trunk.patch_embed
        embedded = patches.proj(images.to(compute_dtype(self.module)))
        embedded = embedded + embed_channels(channels, embedded, patches.patch_size[0])
        places: Tensor = patches.norm(embedded.flatten(2).transpose(1, 2))
        return Hidden(places, (embedded.shape[2], embedded.shape[3]))

    def _as_map(self, hidden: Hidden) -> Tensor:
        """The places alone."""
        return super()._as_map(hidden._replace(states=hidden.states[:, : hidden.grid[0] * hidden.grid[1]]))

    def _walk(self, hidden: Hidden, layer: int, injected: Injected) -> Hidden:
        """From the states that enter block ``layer``, without prompts, to the end."""
        maps, prompts = self._as_map(hidden), None
        for step in self._steps[self._position(layer) :]:
            if step.name is None:  # between stages, or the final norm
                maps = step.run(maps)
                prompts = step.run(prompts) if prompts is not None and step.run is self._trunk.norm else None
                continue
            if layer in injected.added:
                maps = maps + injected.added[layer].to(maps.dtype).reshape(maps.shape[1:])
            if layer in injected.tokens:
                prompts = injected.tokens[layer].to(maps.dtype).expand(len(maps), -1, -1)
            maps, prompts = (step.run(maps), None) if prompts is None else run_block(step.run, maps, prompts)
            layer += 1
        states = maps.flatten(1, 2)
        grid = (maps.shape[1], maps.shape[2])
        return Hidden(states if prompts is None else torch.cat([states, prompts], dim=1), grid)


def run_block(block: Any, maps: Tensor, prompts: Tensor) -> tuple[Tensor, Tensor]:
    """Runs one block with prompts in each of its windows.

    Args:
        block: timm's, frozen.
        maps: places (B, rows, columns, W).
        prompts: (B, n, W).

    Returns:
        Both, in the same shapes.
    """
    windows, size = _cut(block, block.norm1(maps))
    mixed, told = _attend(block, windows, block.norm1(prompts))
    states = torch.cat([(maps + _join(block, mixed, size, maps.shape)).flatten(1, 2), prompts + told.mean(1)], dim=1)
    states = states + block.mlp(block.norm2(states))
    n_places = maps.shape[1] * maps.shape[2]
    return states[:, :n_places].reshape(maps.shape), states[:, n_places:]


def _attend(block: Any, windows: Tensor, prompts: Tensor) -> tuple[Tensor, Tensor]:
    """Attention within windows (B, N, A, W), each with the same prompts (B, n, W).

    Returns:
        What the places read, (B, N, A, W), and what the prompts read in each window, (B, N, n, W).
    """
    attention, n_places = block.attn, windows.shape[2]
    own, beside = (_heads(attention, states) for states in (windows, prompts[:, None]))
    beside = beside.expand(-1, -1, windows.shape[1], -1, -1, -1)
    queries, keys, values = torch.cat([own, beside], dim=-2)  # each (B, N, heads, A + n, width of a head)
    mask = _places_mask(block, n_places)
    mask = F.pad(mask, (0, prompts.shape[1]) * 2)
    read = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, scale=attention.scale)
    read = attention.proj(read.transpose(2, 3).flatten(3))
    return read[:, :, :n_places], read[:, :, n_places:]


def _heads(attention: Any, states: Tensor) -> Tensor:
    """Queries, keys and values of states (B, N, L, W): (3, B, N, heads, L, width of a head)."""
    split: Tensor = attention.qkv(states).unflatten(-1, (3, attention.num_heads, -1))
    return split.permute(3, 0, 1, 4, 2, 5)


def _places_mask(block: Any, n_places: int) -> Tensor:
    """What is added to the places' logits: relative positions, and where windows are shifted, the edges.

    Returns:
        (1 or N, heads, A, A).
    """
    attention = block.attn
    bias = attention.relative_position_bias_table[attention.relative_position_index.flatten()]
    bias = bias.unflatten(0, (n_places, n_places)).permute(2, 0, 1)[None]
    edges = block.get_attn_mask(device=bias.device, dtype=bias.dtype) if block.dynamic_mask else block.attn_mask
    mask: Tensor = bias if edges is None else bias + edges[:, None].to(bias.dtype)
    return mask


def _cut(block: Any, maps: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Shifts a map (B, rows, columns, W), fills it up to whole windows, and cuts it.

    Returns:
        The windows (B, N, A, W), and rows and columns of the map that they fill.
    """
    (rows, columns), (high, wide) = maps.shape[1:3], block.window_size
    if any(block.shift_size):
        maps = torch.roll(maps, [-shift for shift in block.shift_size], dims=(1, 2))
    maps = F.pad(maps, (0, 0, 0, -columns % wide, 0, -rows % high))
    windows = window_partition(maps, block.window_size).flatten(1, 2)
    return windows.unflatten(0, (len(maps), -1)), (maps.shape[1], maps.shape[2])


def _join(block: Any, windows: Tensor, size: tuple[int, int], shape: torch.Size) -> Tensor:
    """Puts windows (B, N, A, W) that fill a map of ``size`` back to where they were cut from, a map of ``shape``."""
    cut = windows.flatten(0, 1).unflatten(1, block.window_size)
    maps: Tensor = window_reverse(cut, block.window_size, *size)[:, : shape[1], : shape[2]]
    return torch.roll(maps, block.shift_size, dims=(1, 2)) if any(block.shift_size) else maps
