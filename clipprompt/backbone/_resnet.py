"""CLIP's ModifiedResNet (arXiv 2103.00020, 2.4): convolutions, then attention pooling with the mean as the query."""

from __future__ import annotations

import torch
from open_clip.modified_resnet import ModifiedResNet
from torch import Tensor
from torch.nn import functional as F

from clipprompt.backbone._stages import StagesTower, Step, blocks_of
from clipprompt.backbone._vision import Hidden, resize_positions


class ResNetTower(StagesTower):
    """The convolutional tower of CLIP.

    The pool's single query is the mean over places, so only that row of the attention is computed. Dense features are
    the pool's value and output projections applied to every place (TaI-DPT, arXiv 2211.12739, 3.3).
    """

    patch_size = 32
    pools_with_positions = True
    kind = "ModifiedResNet"

    def __init__(self, visual: ModifiedResNet) -> None:
        # Colours innermost: a quarter less time on a CPU. Values, names and shapes of the weights stay as they are.
        if visual.conv1.weight.device.type != "mps":
            visual.to(memory_format=torch.channels_last)
        self.module = visual
        self._pool = visual.attnpool
        stages = [(f"layer{i}", getattr(visual, f"layer{i}")) for i in range(1, 5)]
        self._steps = [Step(visual.stem), *(step for named in stages for step in blocks_of(*named))]
        self.width: int = self._pool.c_proj.in_features
        self.final_width = self.width
        self.embed_dim: int = visual.output_dim
        side = round((self._pool.positional_embedding.shape[0] - 1) ** 0.5)
        self._native = (side, side)

    def pool(self, hidden: Hidden, *, positional: bool = True) -> Tensor:
        """Attention pooling.

        Args:
            hidden: from ``trunk``.
            positional: add the pool's positional embedding (CLIP); False as TaI-DPT does at test time.

        Returns:
            float32 (B, E).
        """
        pooled: Tensor = self._pool.c_proj(self._mixed(hidden, positional))
        return pooled.float()

    def project(self, hidden: Hidden, *, positional: bool = False, mean_token: bool = False) -> Tensor:
        """Each place on its own: value projection, then output projection.

        Args:
            hidden: from ``trunk``.
            positional: add the pool's positional embedding (DualCoOp does, TaI-DPT does not).
            mean_token: put the mean over places in front as one more region (DualCoOp).

        Returns:
            float32 (B, P, E), or (B, 1 + P, E) with the mean token.
        """
        states = self._regions(hidden, positional)[:, 0 if mean_token else 1 :]
        places: Tensor = self._pool.c_proj(self._pool.v_proj(states))
        return places.float()

    def _final(self, hidden: Hidden) -> Tensor:
        return self._mixed(hidden, positional=True)

    def _mixed(self, hidden: Hidden, positional: bool) -> Tensor:
        """What the mean of the places reads of them, (B, W)."""
        pool, states = self._pool, self._regions(hidden, positional)
        queries, keys, values = (
            layer(x).unflatten(-1, (pool.num_heads, -1)).transpose(1, 2)
            for layer, x in ((pool.q_proj, states[:, :1]), (pool.k_proj, states), (pool.v_proj, states))
        )
        return F.scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(1)

    def _regions(self, hidden: Hidden, positional: bool) -> Tensor:
        states = torch.cat([hidden.states.mean(dim=1, keepdim=True), hidden.states], dim=1)
        if not positional:
            return states
        return states + resize_positions(self._pool.positional_embedding, self._native, hidden.grid).to(states.dtype)
