"""Global and local branches: cosines with the whole, and with the parts weighted by how much they look like the class.

    local_c = sum over parts of  cos(part, c) * softmax over parts of (spatial_scale * cos(part, c))

(TaI-DPT, arXiv 2211.12739, equations 3 and 4.) Parts are places of an image, or tokens of a caption.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from clipprompt.learners._base import CaptionFeatures, Features, ImageFeatures, Learner, global_cosines


class BranchLogits(NamedTuple):
    """Logits of the global branch, the local branch, and their mean: each (B, C)."""

    global_: Tensor
    local: Tensor
    merged: Tensor


class DenseLearner(Learner):
    """A learner that also looks at the parts: it has a local branch, and can say where in the image a class is."""

    @abstractmethod
    def branch_logits_from(self, features: Features) -> BranchLogits:
        """Logits of both branches from encoded images or captions."""

    @abstractmethod
    def local_class_features(self) -> Tensor:
        """The text features that the local branch compares parts with: L2-normalised float32 (C, E)."""

    @abstractmethod
    def spatial_scale(self, features: Features) -> float | Tensor:
        """Sharpness of the local branch's softmax over the parts of an image, or of a caption."""

    def image_logits(self, images: Tensor) -> BranchLogits:
        """Logits of both branches for images (B, 3, H, W)."""
        return self.branch_logits_from(self.encode_images(images))

    def local_logits_map(self, features: ImageFeatures) -> Tensor:
        """How much every place of an image looks like every class, for heat maps.

        Args:
            features: of B images; places run along the rows of ``Hidden.grid``.

        Returns:
            Cosines (B, P, C), neither scaled nor normalised over places.
        """
        return features.local @ self.local_class_features().T


def branch_logits(
    features: Features,
    text_global: Tensor,
    text_local: Tensor,
    logit_scale: float | Tensor,
    spatial_scale: float | Tensor,
) -> BranchLogits:
    """Logits of both branches and their mean.

    Args:
        features: of images, or of captions.
        text_global: (C, E) for the global branch.
        text_local: (C, E) for the local branch.
        logit_scale: factor of both.
        spatial_scale: sharpness of the softmax over parts.

    Returns:
        Three tensors (B, C).
    """
    whole = logit_scale * global_cosines(features, text_global)
    part = logit_scale * local_cosines(features, text_local, spatial_scale)
    return BranchLogits(whole, part, (whole + part) / 2)


def local_cosines(features: Features, text: Tensor, spatial_scale: float | Tensor) -> Tensor:
    """Cosines (B, C) of the parts, averaged with softmax weights."""
    if isinstance(features, ImageFeatures):
        cosines = features.local @ text.T
        return (cosines * (spatial_scale * cosines).softmax(dim=1)).sum(dim=1)
    cosines, absent = _pad(features, features.tokens @ text.T)
    weights = (spatial_scale * cosines).masked_fill(absent, -torch.inf).softmax(dim=1)
    return (cosines * weights).sum(dim=1)


def _pad(features: CaptionFeatures, values: Tensor) -> tuple[Tensor, Tensor]:
    """Ragged values (T, C) to (B, longest, C), and where (B, longest, 1) there is only padding."""
    lengths = features.lengths
    longest = int(lengths.max())
    present = torch.arange(longest, device=lengths.device) < lengths[:, None]
    padded = values.new_zeros(len(lengths), longest, values.shape[-1])
    padded[present] = values
    return padded, ~present[..., None]
