r"""The one walk through a transformer image tower, with what a learner injects at the input and before every layer.

[class][patch 1 … patch P] + positions -> pre-norm  [prompt 1 … n -> pre-norm] -> layer 0
                                                    [those of layer 1        ] -> layer 1 …  after the last they pass on
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

from clipprompt.backbone._attention_weights import attention_weights
from clipprompt.backbone._injection import Channels, Injected, by_layer, check_layers, frame_images
from clipprompt.backbone._vision import Hidden, Pool, check_size, compute_dtype
from clipprompt.backbone._weights import WeightedTower
from clipprompt.errors import UserError

Layer = Callable[[Tensor], Tensor]


class TransformerTower(WeightedTower, ABC):
    """A frozen image tower that is a stack of attention layers: a ``VisionTower`` whose kinds differ below the line."""

    pools_with_positions = False
    width: int
    embed_dim: int
    final_width: int
    patch_size: int
    n_layers: int
    n_prefix: int
    block_names: tuple[str, ...]
    _visual: Any
    _native_size: tuple[int, int]
    _has_class_token: bool
    # 1 where pooling and places run the last layer differently, so that the trunk ends before it; 0 where an attention
    # pool follows it.
    _n_pooling: int

    @property
    def layer_widths(self) -> tuple[int, ...]:
        """The width of each layer's tokens."""
        return (self.width,) * self.n_layers

    def trunk(
        self,
        images: Tensor,
        prompts: Tensor | None = None,
        deep: Tensor | None = None,
        *,
        injected: Injected | None = None,
    ) -> Hidden:
        """The states that enter the pooling.

        Args:
            images: (B, 3, H, W) of the native size, or both sides multiples of the patch size; positions are
                interpolated.
            prompts: tokens appended at the end, without positions, before the tower's pre-norm: (n, W) or (B, n, W).
            deep: tokens that replace them before layers 1, 2, …: (J-1, n, W) or (J-1, B, n, W).
            injected: in the place of both, whatever a learner puts in anywhere.

        Returns:
            Hidden states (B, class and register tokens + P + n, W).

        Raises:
            UserError: if the size does not fit.
            ValueError: if ``deep`` is given without ``prompts``, or with another number of tokens; or for a layer that
                is not there.
        """
        if prompts is not None or deep is not None:
            injected = by_layer(prompts, deep)
        injected = injected or Injected()
        check_layers(injected, 0, self.n_layers)
        return self._walk(self._enter(images, injected), 0, self.n_layers, injected)

    def trunk_to(self, images: Tensor, layer: int) -> Hidden:
        """The states that enter a layer with nothing injected; at layer 0, behind the pre-norm.

        Args:
            images: (B, 3, H, W).
            layer: up to the last that the trunk runs, plus one.

        Raises:
            UserError: if the size does not fit.
            ValueError: for a layer that the trunk does not reach.
        """
        if not 0 <= layer <= self._n_run:
            raise ValueError(f"no states enter layer {layer} within the trunk; layers 0 to {self._n_run} have some")
        return self._walk(self._enter(images, Injected()), 0, layer, Injected())

    def trunk_from(self, hidden: Hidden, layer: int, injected: Injected | None = None) -> Hidden:
        """The rest of the trunk from the states that enter ``layer``, bit for bit what ``trunk`` gives.

        Args:
            hidden: from ``trunk_to``, or kept from it in lower precision.
            layer: that it was called with.
            injected: from this layer on.

        Raises:
            ValueError: if something is injected before it.
        """
        injected = injected or Injected()
        if injected.changes_pixels:
            raise ValueError("what changes the pixels enters by trunk: within it, they are gone")
        check_layers(injected, layer, self.n_layers)
        states = hidden.states.to(compute_dtype(self._visual))
        return self._walk(Hidden(states, hidden.grid), layer, self.n_layers, injected)

    def pool(self, hidden: Hidden, *, positional: bool = True) -> Tensor:
        """The image's feature: class token, mean or attention pool over the model's own tokens, never over prompts.

        Args:
            hidden: from ``trunk``.
            positional: has no meaning here, where positions are part of the input.

        Returns:
            float32 (B, E).
        """
        return self._to_joint(self._final(hidden)).float()

    def final(self, hidden: Hidden, pool: Pool = "own") -> Tensor:
        """The image's feature before the projection into the joint space, or the mean of other tokens in its place.

        Args:
            hidden: from ``trunk``.
            pool: ``own``, as the tower pools; ``class`` token; ``image``, the places; ``prompts``; ``all``, places and
                prompts (the image, prompt and global pool of VPT, arXiv 2203.12119, 4.3).

        Returns:
            float32 (B, ``final_width``).

        Raises:
            UserError: where there are no such tokens.
        """
        if pool == "own":
            return self._final(hidden).float()
        return self._mean(hidden, self._span(hidden, pool)).float()

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

    def attention(self, images: Tensor, injected: Injected | None, layer: int) -> Tensor:
        """How the tokens of a layer attend: class and register tokens, places, then prompts.

        Args:
            images: (B, 3, H, W).
            injected: what a learner puts in.
            layer: counted from 0; all but the trunk's own end, the last included.

        Returns:
            float32 (B, heads, L, L); rows attend, and sum to 1.

        Raises:
            UserError: if the size does not fit, or the layer is not there.
        """
        if not 0 <= layer < self.n_layers:
            raise UserError(f"layer {layer} is not there: the image tower has layers 0 to {self.n_layers - 1}")
        injected = injected or Injected()
        hidden = self._walk(self._enter(images, injected), 0, layer, injected)
        states = self._inject(hidden, layer, injected).states
        run = self._layers(hidden.grid, states.shape[1] - self._n_own(hidden))[layer]
        return attention_weights(lambda: run(states))

    @property
    def _n_run(self) -> int:
        """The number of layers that the trunk runs."""
        return self.n_layers - self._n_pooling

    def _n_own(self, hidden: Hidden) -> int:
        """The number of the model's own tokens, behind which prompts stand."""
        return self.n_prefix + hidden.grid[0] * hidden.grid[1]

    def _enter(self, images: Tensor, injected: Injected) -> Hidden:
        """The states behind the pre-norm."""
        images = frame_images(images, injected.frame)
        grid = check_size(images, self.patch_size, self._native_size)
        if self._visual.training:  # whoever holds the model may have called train()
            self._visual.eval()
        return Hidden(self._norm_before(self._embed(images, grid, injected.channels)), grid)

    def _walk(self, hidden: Hidden, first: int, last: int, injected: Injected) -> Hidden:
        """From the states that enter layer ``first`` to those that enter ``last``, with what is injected between.

        At the trunk's end, what enters a last layer that is left to the pooling is injected too.
        """
        layers: dict[int, Sequence[Layer]] = {}  # by number of prompts
        for index in range(first, last):
            hidden = self._inject(hidden, index, injected)
            n = hidden.states.shape[1] - self._n_own(hidden)
            if index < self._n_run:
                layers[n] = layers.get(n) or self._layers(hidden.grid, n)
                hidden = Hidden(layers[n][index](hidden.states), hidden.grid)
        return hidden

    def _inject(self, hidden: Hidden, layer: int, injected: Injected) -> Hidden:
        """The states that enter ``layer``, with its prompts."""
        states, n_own = hidden.states, self._n_own(hidden)
        own, prompts = states[:, :n_own], states[:, n_own:]
        if layer not in injected.tokens and layer not in injected.added:
            return hidden
        if layer in injected.added:
            own = own + injected.added[layer].to(own.dtype)
        if layer in injected.tokens:
            prompts = injected.tokens[layer].to(states.dtype).expand(len(states), -1, -1)
            prompts = self._norm_before(prompts) if layer == 0 else prompts
        return Hidden(torch.cat([own, prompts], dim=1), hidden.grid)

    def _span(self, hidden: Hidden, pool: Pool) -> slice:
        """The tokens that ``pool`` is the mean of."""
        n_own = self._n_own(hidden)
        if pool == "class" and not self._has_class_token:
            raise UserError("pool=class needs a class token, which this image tower has not: image is its places' mean")
        if pool == "prompts" and hidden.states.shape[1] == n_own:
            raise UserError("pool=prompts needs prompts among the tokens (where=prepend): image is the nearest")
        spans = {
            "class": (0, 1),
            "image": (self.n_prefix, n_own),
            "prompts": (n_own, None),
            "all": (self.n_prefix, None),
        }
        return slice(*spans[pool])

    @abstractmethod
    def _embed(self, images: Tensor, grid: tuple[int, int], channels: Channels | None) -> Tensor:
        """Class and register tokens, then patches, with their positions, before the pre-norm."""

    @abstractmethod
    def _norm_before(self, states: Tensor) -> Tensor:
        """The pre-norm, where the tower has one."""

    @abstractmethod
    def _layers(self, grid: tuple[int, int], n_prompts: int) -> Sequence[Layer]:
        """All layers, for this grid and number of prompts."""

    @abstractmethod
    def _final(self, hidden: Hidden) -> Tensor:
        """The image's feature before the projection into the joint space."""

    @abstractmethod
    def _mean(self, hidden: Hidden, span: slice) -> Tensor:
        """The mean of some tokens as the last layer and norm leave them."""

    @abstractmethod
    def _to_joint(self, states: Tensor) -> Tensor:
        """The projection into the joint space, (…, ``final_width``) to (…, E)."""

    @abstractmethod
    def _project(self, hidden: Hidden) -> Tensor:
        """The places' features (B, P, E)."""


def alone(layer: Layer, places: Tensor) -> Tensor:
    """Runs an attention layer with every place (B, P, W) as a sequence of its own.

    A softmax over one position is 1, so that what comes out is the layer's value path. Returns (B, P, …).
    """
    out: Tensor = layer(places.flatten(0, 1)[:, None])
    return out.reshape(*places.shape[:2], -1)
