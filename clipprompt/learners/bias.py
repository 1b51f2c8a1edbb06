"""Bias tuning: the bias terms of the image tower and a head (VPT, arXiv 2203.12119, 4.1; BitFit, arXiv 2106.10199).

Biases of linear layers, convolutions and norms: a thousandth of a ViT's weights. The gradient of a bias needs no
activations (TinyTL, arXiv 2007.11622).
"""

from __future__ import annotations

import torch
from torch import Tensor

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.learners._head import HeadLearner, HeadOptions
from clipprompt.learners._tower_weights import copy_weights, names_read, run_with_copies


class Bias(HeadLearner):
    """Biases learnt. Parameters: ``weights``, each as the tower names it, and the head's."""

    def __init__(self, backbone: Backbone, options: HeadOptions, generator: torch.Generator, n_classes: int) -> None:
        super().__init__(backbone, options, generator, n_classes)
        names = [name for name in names_read(backbone, options.pool) if name.endswith("bias")]
        if not names:
            raise UserError(f"bias: the image tower of {backbone.name} has no bias terms to learn; try adapter or lora")
        self.weights = copy_weights(backbone.vision, names)

    def image_state(self, images: Tensor) -> Tensor:
        """The feature of the tower with the learnt biases."""
        return run_with_copies(self.backbone.vision, self.weights, lambda: super(Bias, self).image_state(images))
