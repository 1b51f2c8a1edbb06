"""Full tuning: every weight of the image tower that its feature reads, and a head (VPT, arXiv 2203.12119, 4.1).

What prompts are compared with. The copies are as large as the tower, on disk too, and the frozen one stays as it is.
Batch norms keep the statistics that they were pre-trained with.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clipprompt.backbone import Backbone
from clipprompt.learners._head import HeadLearner, HeadOptions
from clipprompt.learners._tower_weights import copy_weights, names_read, run_with_copies


class Full(HeadLearner):
    """All weights learnt. Parameters: ``weights``, each as the tower names it, and the head's."""

    def __init__(self, backbone: Backbone, options: HeadOptions, generator: torch.Generator, n_classes: int) -> None:
        super().__init__(backbone, options, generator, n_classes)
        self.weights = copy_weights(backbone.vision, names_read(backbone, options.pool))

    def image_state(self, images: Tensor) -> Tensor:
        """The feature of the tower with the learnt weights."""
        return run_with_copies(self.backbone.vision, self.weights, lambda: super(Full, self).image_state(images))
