"""Linear: the frozen image tower's feature and one linear layer over it (VPT, arXiv 2203.12119, 4.1).

Nothing before the layer is learnt, so that the features of all pictures are computed once.
"""

from __future__ import annotations

import torch

from clipprompt.backbone import Backbone
from clipprompt.learners._head import HeadLearner, HeadOptions


class Linear(HeadLearner):
    """A linear classifier. Parameters: ``head.weight`` (C, W_out), ``head.bias`` (C,)."""

    def __init__(self, backbone: Backbone, options: HeadOptions, generator: torch.Generator, n_classes: int) -> None:
        super().__init__(backbone, options, generator, n_classes)
        self.frozen_part = f"pooled-{options.pool}"
