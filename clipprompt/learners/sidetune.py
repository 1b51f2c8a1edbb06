r"""Side-tuning: a small network beside the frozen image tower (Zhang 2020, arXiv 1912.13503; VPT, 2203.12119, 4.1).

    images -+-> frozen tower -------------------> base (B, W_out) -+
            \-> AlexNet's convolutions -> linear -> side (B, W_out) -+-> a base + (1 - a) side -> head

a is the sigmoid of a learnt number and starts at one half. AlexNet (torchvision's) sees the pictures as they are
normalised for the tower.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.learners._base import LearnerOptions
from clipprompt.learners._head import HeadLearner, HeadOptions
from clipprompt.learners._side_network import SMALLEST, make_projection, make_side, side_features


class SideTuneOptions(HeadOptions):
    """Options of ``sidetune``."""

    side_weights: str | None = Field(
        None, description="start of the side network: a file with torchvision's AlexNet, imagenet (downloaded), or null"
    )


class SideTune(HeadLearner):
    """A side network learnt. Parameters: ``side`` (convolutions), ``projection.weight``, ``blend``, and the head's.

    Where the side network started is history once there is a learner: its ``side_weights`` is None, as in its folder.
    """

    Options: ClassVar[type[LearnerOptions]] = SideTuneOptions
    options: SideTuneOptions

    def __init__(
        self, backbone: Backbone, options: SideTuneOptions, generator: torch.Generator, n_classes: int
    ) -> None:
        super().__init__(backbone, options.model_copy(update={"side_weights": None}), generator, n_classes)
        if backbone.image_size < SMALLEST:
            raise UserError(
                f"sidetune: AlexNet needs pictures of {SMALLEST} x {SMALLEST} pixels, and {backbone.name} takes "
                f"{backbone.image_size} x {backbone.image_size}"
            )
        self.side = make_side(options.side_weights, generator).to(backbone.device)
        self.projection = make_projection(self.head.in_features, generator).to(backbone.device)
        self.blend = nn.Parameter(torch.zeros((), device=backbone.device))

    def image_state(self, images: Tensor) -> Tensor:
        """The blend (B, W_out) of the frozen tower's feature and the side network's."""
        with torch.no_grad():
            base = super().image_state(images)
        side: Tensor = self.projection(side_features(self.side, images))
        share = self.blend.sigmoid()
        return share * base + (1 - share) * side
