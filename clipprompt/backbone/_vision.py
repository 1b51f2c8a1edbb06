r"""What every vision tower offers: a trunk with injection points, a pooled feature and dense features.

images (B,3,H,W) --trunk(injected)--> Hidden --final----> (B, W)     the image, for a head
     \                             /       \--pool-----> (B, E)     the image, beside the texts
      trunk_to --> Hidden --> trunk_from     \--project--> (B, P, E)  its places, in the same joint space
        frozen, cacheable     learnt
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipprompt.backbone._injection import Injected
from clipprompt.errors import UserError

Pool = Literal["own", "class", "image", "prompts", "all"]
T = TypeVar("T")


class Hidden(NamedTuple):
    """What the trunk hands to the last, pooling layer.

    Attributes:
        states: (B, tokens, W).
        grid: rows and columns of places in the image; P is their product.
    """

    states: Tensor
    grid: tuple[int, int]


class VisionTower(Protocol):
    """A frozen image tower. All features are float32 and not normalised.

    Attributes:
        width: W, of the last layer.
        embed_dim: E, of the joint space.
        final_width: of what ``final`` gives.
        patch_size: pixels of a place's side.
        n_layers: layers that take tokens; 0 where none do.
        n_prefix: class and register tokens, behind which the places stand.
        module: the frozen model; its ``named_parameters`` are the names that ``run_with`` takes.
        pools_with_positions: whether ``pool`` differs with and without ``positional``.
    """

    width: int
    embed_dim: int
    final_width: int
    patch_size: int
    n_layers: int
    n_prefix: int
    module: nn.Module
    pools_with_positions: bool

    @property
    def block_names(self) -> tuple[str, ...]:
        """The blocks' names in ``module``, in the order of the walk; ``layer`` of ``trunk_to`` counts them."""

    @property
    def layer_widths(self) -> tuple[int, ...]:
        """The width of the tokens of each layer that takes some."""

    def trunk(
        self,
        images: Tensor,
        prompts: Tensor | None = None,
        deep: Tensor | None = None,
        *,
        injected: Injected | None = None,
    ) -> Hidden:
        """Everything up to the pooling layer, with optional prompt tokens (B or 1, n, W) and (J-1, n, W)."""

    def trunk_to(self, images: Tensor, layer: int) -> Hidden:
        """The states that enter a layer, with nothing injected."""

    def trunk_from(self, hidden: Hidden, layer: int, injected: Injected | None = None) -> Hidden:
        """The rest of the trunk."""

    def pool(self, hidden: Hidden, *, positional: bool = True) -> Tensor:
        """The image's own feature (B, E)."""

    def final(self, hidden: Hidden, pool: Pool = "own") -> Tensor:
        """The image's feature before the projection into the joint space (B, ``final_width``)."""

    def project(self, hidden: Hidden, *, positional: bool = False, mean_token: bool = False) -> Tensor:
        """The places' features (B, P, E), or (B, 1 + P, E) with the mean token first."""

    def attention(self, images: Tensor, injected: Injected | None, layer: int) -> Tensor:
        """How a layer's tokens attend (B, heads, L, L)."""

    def run_with(self, weights: Mapping[str, Tensor], call: Callable[[], T]) -> T:
        """Calls with other tensors as named parameters of ``module``."""


def resize_positions(positions: Tensor, native: tuple[int, int], grid: tuple[int, int]) -> Tensor:
    """Interpolates learnt positions (1 + P, W) to another grid; the first, the class or mean token's, stays.

    Bicubic to the exact ``size``, as DualCoOp resizes (arXiv 2206.09541). TaI-DPT's code passes the scale factor
    (n + 0.1) / m instead, which shifts every sampling point; we do not follow it.

    Returns:
        (1 + grid[0] * grid[1], W).
    """
    if native == grid:
        return positions
    places = positions[1:].float().reshape(*native, -1).permute(2, 0, 1)[None]
    resized = F.interpolate(places, size=grid, mode="bicubic", align_corners=False)[0].flatten(1).T
    return torch.cat([positions[:1], resized.to(positions.dtype)])


def check_size(images: Tensor, multiple: int, native: tuple[int, int] | None = None) -> tuple[int, int]:
    """The grid of places that images (B, 3, H, W) give.

    Args:
        images: the batch.
        multiple: the tower's patch or stride.
        native: rows and columns of pixels that are taken in any case: some towers leave a rest of theirs unseen.

    Raises:
        UserError: if a side is not a multiple of the tower's patch or stride.
    """
    height, width = images.shape[-2:]
    if (height, width) != native and (height % multiple or width % multiple):
        raise UserError(f"images of {width} x {height} pixels: both sides must be multiples of {multiple}")
    return height // multiple, width // multiple


def compute_dtype(visual: nn.Module) -> torch.dtype:
    """The type in which an image tower computes: its first convolution's, for norms may be kept in float32."""
    return first_convolution(visual).weight.dtype


def first_convolution(visual: nn.Module) -> nn.Conv2d:
    """What reads the pixels: the patch embedding, or where a stem of convolutions begins."""
    return next(module for module in visual.modules() if isinstance(module, nn.Conv2d))


def joint_size(visual: Any) -> int:
    """E of an open_clip ``TimmModel``: what its last linear layer gives, the trunk's width where it has none."""
    last = [*visual.trunk.get_classifier().modules(), *visual.head.modules()]
    size: int = next((m.out_features for m in reversed(last) if isinstance(m, nn.Linear)), visual.trunk.num_features)
    return size
