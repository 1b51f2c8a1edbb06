r"""open_clip's VisionTransformer with prompt tokens at the input and before every layer (VPT, arXiv 2203.12119).

[class][patch 1 … patch P] + positions  [prompt 1 … n]  -> ln_pre -> block 0
[replaced by deep_1]      -> block 1   … beyond the depth they pass on
last block -> class token -> ln_post -> proj      the image
\-> value path  -> ln_post -> proj      its places
"""

from __future__ import annotations

import torch
from open_clip.transformer import VisionTransformer
from torch import Tensor

from clipprompt.backbone._blocks import check_blocks, run_block, run_value_path
from clipprompt.backbone._vision import Hidden, check_size, resize_positions
from clipprompt.errors import UserError


class ViTTower:
    """The transformer tower of CLIP. The trunk stops before the last block, of which only what is read is computed."""

    pools_with_positions = False

    def __init__(self, visual: VisionTransformer) -> None:
        if visual.attn_pool is not None or visual.pool_type not in ("tok", "avg"):
            raise UserError("the image tower pools by attention, which is not supported")
        self._visual = visual
        self._blocks = visual.transformer.resblocks
        check_blocks(self._blocks, "image")
        if visual.patch_size[0] != visual.patch_size[1]:
            raise UserError(f"the image tower's patches are not square ({visual.patch_size}), which is not supported")
        self.width: int = visual.conv1.out_channels
        self.embed_dim: int = visual.output_dim
        self.patch_size: int = visual.patch_size[0]
        self.n_layers: int = len(self._blocks)

    def trunk(self, images: Tensor, prompts: Tensor | None = None, deep: Tensor | None = None) -> Hidden:
        """The states that enter the last block.

        Args:
            images: (B, 3, H, W), both sides multiples of the patch size; positions are interpolated.
            prompts: tokens appended at the end, without positions, before ``ln_pre``: (n, W) or (B, n, W).
            deep: tokens that replace them before layers 1, 2, …: (J-1, n, W) or (J-1, B, n, W).

        Returns:
            Hidden states (B, 1 + P + n, W).

        Raises:
            UserError: if the size does not fit.
            ValueError: if ``deep`` is given without ``prompts``, or with another number of tokens.
        """
        grid = check_size(images, self.patch_size)
        if self._visual.training:  # whoever holds the model may have called train()
            self._visual.eval()
        states = self._embed(images, grid)
        n_prompts = 0
        if prompts is not None:
            n_prompts = prompts.shape[-2]
            states = torch.cat([states, prompts.to(states.dtype).expand(len(images), -1, -1)], dim=1)
        if deep is not None and deep.shape[-2] != n_prompts:
            raise ValueError(f"{deep.shape[-2]} deep prompts cannot replace {n_prompts} prompts")
        states = self._visual.ln_pre(states)
        for layer, block in enumerate(self._blocks):
            if deep is not None and 1 <= layer <= deep.shape[0]:
                replaced = deep[layer - 1].to(states.dtype).expand(len(images), -1, -1)
                states = torch.cat([states[:, :-n_prompts], replaced], dim=1)
            if layer + 1 < self.n_layers:
                states = run_block(block, states)
        return Hidden(states, grid)

    def pool(self, hidden: Hidden, *, positional: bool = True) -> Tensor:
        """The image's feature.

        Args:
            hidden: from ``trunk``.
            positional: has no meaning here, where positions are part of the input.

        Returns:
            float32 (B, E).
        """
        visual, states = self._visual, hidden.states
        if visual.pool_type == "tok":
            first = states.new_zeros(len(states), dtype=torch.long)
            pooled = visual.ln_post(run_block(self._blocks[-1], states, rows=first)[:, 0])
        else:
            states = run_block(self._blocks[-1], states)
            n_places = hidden.grid[0] * hidden.grid[1]
            if visual.final_ln_after_pool:
                pooled = visual.ln_post(states[:, 1 : 1 + n_places].mean(dim=1))
            else:
                pooled = visual.ln_post(states)[:, 1 : 1 + n_places].mean(dim=1)
        return self._project(pooled)

    def project(self, hidden: Hidden, *, positional: bool = False, mean_token: bool = False) -> Tensor:
        """Each place by the value path of the last block (MaskCLIP, arXiv 2112.01071), then ``ln_post`` and ``proj``.

        Args:
            hidden: from ``trunk``.
            positional: has no meaning here, where positions are part of the input.
            mean_token: put the image's own feature in front as one more region.

        Returns:
            float32 (B, P, E), or (B, 1 + P, E) with the image's own feature first.
        """
        n_places = hidden.grid[0] * hidden.grid[1]
        states = run_value_path(self._blocks[-1], hidden.states[:, 1 : 1 + n_places])
        places = self._project(self._visual.ln_post(states))
        return torch.cat([self.pool(hidden)[:, None], places], dim=1) if mean_token else places

    def _embed(self, images: Tensor, grid: tuple[int, int]) -> Tensor:
        visual = self._visual
        patches = visual.conv1(images.to(visual.conv1.weight.dtype)).flatten(2).transpose(1, 2)
        first = visual.class_embedding.to(patches.dtype).expand(len(images), 1, -1)
        positions = resize_positions(visual.positional_embedding, visual.grid_size, grid)
        return torch.cat([first, patches], dim=1) + positions.to(patches.dtype)

    def _project(self, states: Tensor) -> Tensor:
        projected: Tensor = states if self._visual.proj is None else states @ self._visual.proj
        return projected.float()
