r"""The one walk through a transformer image tower, with prompt tokens at the input and before every layer.

[class][patch 1 … patch P] + positions  [prompt 1 … n]  -> pre-norm -> layer 0
                                        [replaced by deep_1]        -> layer 1   … beyond the depth they pass on
                                        last layer -> what the tower pools, prompts left out -> the image
                                                   \-> every place on its own                -> its places

(VPT, arXiv 2203.12119.) Prompts stand behind the patches: attention does not see the order of its tokens, so any place
among them gives the same features, and positions, learnt or rotary, belong to the patches alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from clipprompt.backbone._vision import Hidden, check_size

Layer = Callable[[Tensor], Tensor]


class TransformerTower(ABC):
    """A frozen image tower that is a stack of attention layers: a ``VisionTower`` whose kinds differ below the line."""

    pools_with_positions = False
    width: int
    embed_dim: int
    patch_size: int
    n_layers: int
    _visual: Any
    _native_size: tuple[int, int]
    # 1 where pooling and places run the last layer differently, so that the trunk ends before it; 0 where an attention
    # pool follows it.
    _n_pooling: int

    def trunk(self, images: Tensor, prompts: Tensor | None = None, deep: Tensor | None = None) -> Hidden:
        """The states that enter the pooling.

        Args:
            images: (B, 3, H, W) of the native size, or both sides multiples of the patch size; positions are
                interpolated.
            prompts: tokens appended at the end, without positions, before the tower's pre-norm: (n, W) or (B, n, W).
            deep: tokens that replace them before layers 1, 2, …: (J-1, n, W) or (J-1, B, n, W).

        Returns:
            Hidden states (B, class and register tokens + P + n, W).

        Raises:
            UserError: if the size does not fit.
            ValueError: if ``deep`` is given without ``prompts``, or with another number of tokens.
        """
        grid = check_size(images, self.patch_size, self._native_size)
        if self._visual.training:  # whoever holds the model may have called train()
            self._visual.eval()
        n_prompts = 0 if prompts is None else prompts.shape[-2]
        if deep is not None and deep.shape[-2] != n_prompts:
            raise ValueError(f"{deep.shape[-2]} deep prompts cannot replace {n_prompts} prompts")
        states = self._embed(images, grid)
        n_own = states.shape[1]
        states = self._norm_before(states if prompts is None else _append(states, prompts))
        for index, layer in enumerate(self._layers(grid, n_prompts)):
            if deep is not None and 1 <= index <= len(deep):
                states = _append(states[:, :n_own], deep[index - 1])
            if index < self.n_layers - self._n_pooling:
                states = layer(states)
        return Hidden(states, grid)

    def pool(self, hidden: Hidden, *, positional: bool = True) -> Tensor:
        """The image's feature: class token, mean or attention pool over the model's own tokens, never over prompts.

        Args:
            hidden: from ``trunk``.
            positional: has no meaning here, where positions are part of the input.

        Returns:
            float32 (B, E).
        """
        return self._pool(hidden).float()

    def project(self, hidden: Hidden, *, positional: bool = False, mean_token: bool = False) -> Tensor:
        """Each place by the value path of the layer that pools, then what the image's feature goes through.

        Where a class token or a mean is pooled that is the last block, with every position attending to itself alone
        (MaskCLIP, arXiv 2112.01071). Where an attention pool follows, it is the pool: its output is a weighted mean of
        the places' values, so one place's value, through the same projection, norm and MLP, is what the pool would
        give for an image of that place alone. Both lie where the pooled feature lies, beside the text.

        Args:
            hidden: from ``trunk``.
            positional: has no meaning here, where positions are part of the input.
            mean_token: put the image's own feature in front as one more region.

        Returns:
            float32 (B, P, E), or (B, 1 + P, E) with the image's own feature first.
        """
        places = self._project(hidden).float()
        return torch.cat([self.pool(hidden)[:, None], places], dim=1) if mean_token else places

    @abstractmethod
    def _embed(self, images: Tensor, grid: tuple[int, int]) -> Tensor:
        """Class and register tokens, then patches, with their positions, before the pre-norm."""

    @abstractmethod
    def _norm_before(self, states: Tensor) -> Tensor:
        """The pre-norm, where the tower has one."""

    @abstractmethod
    def _layers(self, grid: tuple[int, int], n_prompts: int) -> Sequence[Layer]:
        """All layers, for this grid and number of prompts."""

    @abstractmethod
    def _pool(self, hidden: Hidden) -> Tensor:
        """The image's feature (B, E)."""

    @abstractmethod
    def _project(self, hidden: Hidden) -> Tensor:
        """The places' features (B, P, E)."""


def alone(layer: Layer, places: Tensor) -> Tensor:
    """Runs an attention layer with every place (B, P, W) as a sequence of its own.

    A softmax over one position is 1, so that what comes out is the layer's value path. Returns (B, P, …).
    """
    out: Tensor = layer(places.flatten(0, 1)[:, None])
    return out.reshape(*places.shape[:2], -1)


def _append(states: Tensor, prompts: Tensor) -> Tensor:
    return torch.cat([states, prompts.to(states.dtype).expand(len(states), -1, -1)], dim=1)
