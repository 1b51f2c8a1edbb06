"""What learners with prompts in the image tower share."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipprompt.backbone import Backbone
from clipprompt.backbone.capabilities import refuse_visual_prompts
from clipprompt.errors import UserError
from clipprompt.learners._base import ImageFeatures, Learner
from clipprompt.learners._layers import random_prompts


class VisualPromptLearner(Learner):
    """A learner whose prompts in the image tower are its own parameters; without any, its image side is frozen.

    Attributes:
        visual_ctx: (n, W), behind the patches at the input; None at depth 0.
        deep_visual_ctx: (J-1, n, W) replacing them before layers 1, 2, …; None up to depth 1.
    """

    visual_ctx: nn.Parameter | None
    deep_visual_ctx: nn.Parameter | None

    def _make_visual_prompts(self, n: int, depth: int, generator: torch.Generator) -> None:
        """Makes the prompts; to be called once, by ``__init__``."""
        sizes, device = (n, self.backbone.vision.width), self.backbone.device
        self.register_parameter("visual_ctx", random_prompts(sizes, generator, device) if depth > 0 else None)
        deep = random_prompts((depth - 1, *sizes), generator, device) if depth > 1 else None
        self.register_parameter("deep_visual_ctx", deep)
        self.image_side_is_frozen = depth == 0

    def encode_images(self, images: Tensor) -> ImageFeatures:
        """Image features with the prompts, and with gradients; without prompts the frozen ones."""
        if self.visual_ctx is None:
            return self.frozen_features(images)
        return encode_prompted_images(self.backbone, images, self.visual_ctx, self.deep_visual_ctx)


def check_transformer(method: str, backbone: Backbone) -> None:
    """Refuses an image tower that takes no prompts.

    Raises:
        UserError: naming the method and the backbone.
    """
    if reason := refuse_visual_prompts(backbone):
        raise UserError(f"{method} {reason}")


def check_depth(option: str, depth: int, tower: Literal["text", "image"], backbone: Backbone) -> None:
    """Refuses prompts for more layers than a tower has.

    Raises:
        UserError: naming the option, its value and the largest one.
    """
    n_layers = (backbone.text if tower == "text" else backbone.vision).n_layers
    if depth > n_layers:
        raise UserError(f"{option} {depth} is too large: the {tower} tower of {backbone.name} has {n_layers} layers")


def encode_prompted_images(
    backbone: Backbone, images: Tensor, prompts: Tensor, deep: Tensor | None = None
) -> ImageFeatures:
    """Image features with learnt prompts, and with gradients.

    Args:
        backbone: the frozen CLIP.
        images: (B, 3, H, W).
        prompts: (n, W).
        deep: (J-1, n, W) replacing them before layers 1, 2, …

    Returns:
        The whole images' features; places are not read, so P is 0.
    """
    hidden = backbone.vision.trunk(images.to(backbone.device), prompts, deep)
    whole = F.normalize(backbone.vision.pool(hidden), dim=-1)
    return ImageFeatures(whole, whole.new_empty(len(whole), 0, whole.shape[-1]))
