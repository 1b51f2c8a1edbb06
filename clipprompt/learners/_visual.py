"""What learners with prompts in the image tower share."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.learners._base import ImageFeatures


def check_transformer(method: str, backbone: Backbone) -> None:
    """Refuses an image tower that takes no prompts.

    Raises:
        UserError: naming the method and the backbone.
    """
    if backbone.vision.n_layers == 0:
        raise UserError(f"{method} needs a transformer image tower, such as ViT-B-16's; {backbone.name} has none")


def check_depth(option: str, depth: int, n_layers: int, backbone: Backbone) -> None:
    """Refuses prompts for more layers than a tower has.

    Raises:
        UserError: naming the option, its value and the largest one.
    """
    if depth > n_layers:
        raise UserError(f"{option} {depth} is too large: {backbone.name} has {n_layers} layers")


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
