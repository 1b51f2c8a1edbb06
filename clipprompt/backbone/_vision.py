r"""What every vision tower offers: a trunk with injection points, a pooled feature and dense features.

images (B,3,H,W) --trunk(prompts)--> Hidden --pool-----> (B, E)     the image
\--project--> (B, P, E)  its places, in the same joint space
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipprompt.errors import UserError


class Hidden(NamedTuple):
    """What the trunk hands to the last, pooling layer.

    Attributes:
        states: (B, tokens, W).
        grid: rows and columns of places in the image; P is their product.
    """

    states: Tensor
    grid: tuple[int, int]


class VisionTower(Protocol):
    """A frozen image tower. All features are float32 and not normalised."""

    width: int
    embed_dim: int
    patch_size: int
    n_layers: int
    pools_with_positions: bool
    """Whether ``pool`` differs with and without ``positional``."""

    def trunk(self, images: Tensor, prompts: Tensor | None = None, deep: Tensor | None = None) -> Hidden:
        """Everything up to the pooling layer, with optional prompt tokens (B or 1, n, W) and (J-1, n, W)."""

    def pool(self, hidden: Hidden, *, positional: bool = True) -> Tensor:
        """The image's own feature (B, E)."""

    def project(self, hidden: Hidden, *, positional: bool = False, mean_token: bool = False) -> Tensor:
        """The places' features (B, P, E), or (B, 1 + P, E) with the mean token first."""


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
    return next(module.weight.dtype for module in visual.modules() if isinstance(module, nn.Conv2d))


def joint_size(visual: Any) -> int:
    """E of an open_clip ``TimmModel``: what its last linear layer gives, the trunk's width where it has none."""
    last = [*visual.trunk.get_classifier().modules(), *visual.head.modules()]
    size: int = next((m.out_features for m in reversed(last) if isinstance(m, nn.Linear)), visual.trunk.num_features)
    return size
