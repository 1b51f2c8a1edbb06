"""Global and local branches: cosines with the whole, and with the parts weighted by how much they look like the class.

    local_c = sum over parts of  cos(part, c) * softmax over parts of (spatial_scale * cos(part, c))

(TaI-DPT, arXiv 2211.12739, equations 3 and 4.) Parts are places of an image, or tokens of a caption.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from clipprompt.learners._base import CaptionFeatures, Features, ImageFeatures, ImageStates, Learner, global_cosines


class BranchLogits(NamedTuple):
    """Logits of the global branch, the local branch, and their mean: each (B, C)."""

    global_: Tensor
    local: Tensor
    merged: Tensor


class DenseLearner(Learner):
    """A learner that also looks at the parts: it has a local branch, and can say where in the image a class is."""

    reads_places: ClassVar[bool] = True

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
            features: of B images.

        Returns:
            Cosines (B, P, C), neither scaled nor normalised over places, which run along the rows of ``Hidden.grid``.
        """
        places = features.local[:, 1:] if self.places_as_pooled else features.local  # the mean has no place of its own
        return places @ self.local_class_features().T


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
    cosines, absent = _part_cosines(features, text)
    return (cosines * _weights(cosines, absent, spatial_scale)).sum(dim=1)


def local_pair_cosines(features: Features, texts: Tensor, spatial_scale: float | Tensor) -> Tensor:
    """Cosines (B, N, C) of the parts with N texts of each class, all averaged with the weights of the first.

    Args:
        features: of images, or of captions.
        texts: (N, C, E), the one that says where to look first (DualCoOp, arXiv 2206.09541).
        spatial_scale: sharpness of the softmax over parts.
    """
    cosines, absent = _part_cosines(features, texts.flatten(0, 1))
    weights = _weights(cosines[..., : texts.shape[1]], absent, spatial_scale)
    pairs: Tensor = cosines.unflatten(-1, texts.shape[:2])
    return (pairs * weights[:, :, None]).sum(dim=1)


def _part_cosines(features: Features, text: Tensor) -> tuple[Tensor, Tensor | None]:
    """Cosines (B, parts, C), and where there is only padding."""
    if isinstance(features, ImageFeatures):
        return features.local @ text.T, None
    if isinstance(features, ImageStates):
        raise TypeError("states within the image tower have no cosines with texts")
    return _pad(features, features.tokens @ text.T)


def _weights(cosines: Tensor, absent: Tensor | None, spatial_scale: float | Tensor) -> Tensor:
    scaled: Tensor = spatial_scale * cosines
    return (scaled if absent is None else scaled.masked_fill(absent, -torch.inf)).softmax(dim=1)


def _pad(features: CaptionFeatures, values: Tensor) -> tuple[Tensor, Tensor]:
    """Ragged values (T, C) to (B, longest, C), and where (B, longest, 1) there is only padding."""
    lengths = features.lengths
    longest = int(lengths.max())
    present = torch.arange(longest, device=lengths.device) < lengths[:, None]
    padded = values.new_zeros(len(lengths), longest, values.shape[-1])
    padded[present] = values
    return padded, ~present[..., None]
