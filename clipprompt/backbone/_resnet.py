"""CLIP's ModifiedResNet (arXiv 2103.00020, 2.4): convolutions, then attention pooling with the mean as the query."""

from __future__ import annotations

import torch
from open_clip.modified_resnet import ModifiedResNet
from torch import Tensor
from torch.nn import functional as F

from clipprompt.backbone._vision import Hidden, check_size, compute_dtype, resize_positions
from clipprompt.errors import UserError


class ResNetTower:
    """The convolutional tower of CLIP.

    The pool's single query is the mean over places, so only that row of the attention is computed. Dense features are
    the pool's value and output projections applied to every place (TaI-DPT, arXiv 2211.12739, 3.3).
    """

    patch_size = 32
    n_layers = 0
    pools_with_positions = True

    def __init__(self, visual: ModifiedResNet) -> None:
        # Colours innermost: a quarter less time on a CPU. Values, names and shapes of the weights stay as they are.
        if visual.conv1.weight.device.type != "mps":
            visual.to(memory_format=torch.channels_last)
        self._visual = visual
        self._pool = visual.attnpool
        self.width: int = self._pool.c_proj.in_features
        self.embed_dim: int = visual.output_dim
        side = round((self._pool.positional_embedding.shape[0] - 1) ** 0.5)
        self._native = (side, side)

    def trunk(self, images: Tensor, prompts: Tensor | None = None, deep: Tensor | None = None) -> Hidden:
        """The last feature map as tokens.

        Args:
            images: (B, 3, H, W), H and W multiples of 32.
            prompts: must be None: a convolution has no tokens to prompt.
            deep: must be None.

        Returns:
            Hidden states (B, H/32 * W/32, W).

        Raises:
            UserError: if prompts are given, or the size does not fit.
        """
        if prompts is not None or deep is not None:
            raise UserError("visual prompts need a transformer image tower; this backbone's is a ModifiedResNet")
        grid = check_size(images, self.patch_size)
        visual = self._visual
        if visual.training:  # whoever holds the model may have called train(); its batch norms must not move
            visual.eval()
        x = visual.stem(images.to(compute_dtype(visual)))
        for stage in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
            x = stage(x)
        return Hidden(x.flatten(2).transpose(1, 2), grid)

    def pool(self, hidden: Hidden, *, positional: bool = True) -> Tensor:
        """Attention pooling.

        Args:
            hidden: from ``trunk``.
            positional: add the pool's positional embedding (CLIP); False as TaI-DPT does at test time.

        Returns:
            float32 (B, E).
        """
        pool, states = self._pool, self._regions(hidden, positional)
        queries, keys, values = (
            layer(x).unflatten(-1, (pool.num_heads, -1)).transpose(1, 2)
            for layer, x in ((pool.q_proj, states[:, :1]), (pool.k_proj, states), (pool.v_proj, states))
        )
        mixed = F.scaled_dot_product_attention(queries, keys, values)
        pooled: Tensor = pool.c_proj(mixed.transpose(1, 2).flatten(1))
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

    def _regions(self, hidden: Hidden, positional: bool) -> Tensor:
        states = torch.cat([hidden.states.mean(dim=1, keepdim=True), hidden.states], dim=1)
        if not positional:
            return states
        return states + resize_positions(self._pool.positional_embedding, self._native, hidden.grid).to(states.dtype)
