"""MLP: a perceptron of several layers over the frozen image tower's feature (VPT, arXiv 2203.12119, 4.1, Mlp-k).

feature (B, W_out) -> linear, ReLU (k - 1 times, W_out wide) -> head
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from clipprompt.backbone import Backbone
from clipprompt.learners._base import ImageStates, LearnerOptions
from clipprompt.learners._head import HeadLearner, HeadOptions
from clipprompt.learners._layers import linear


class MLPOptions(HeadOptions):
    """Options of ``mlp``."""

    n_layers: int = Field(3, ge=1, description="linear layers, the head included; 1 is linear")


class MLP(HeadLearner):
    """A perceptron. Parameters: ``hidden.i.weight`` (W_out, W_out), ``hidden.i.bias`` (W_out,), and the head's."""

    Options: ClassVar[type[LearnerOptions]] = MLPOptions
    options: MLPOptions

    def __init__(self, backbone: Backbone, options: MLPOptions, generator: torch.Generator, n_classes: int) -> None:
        super().__init__(backbone, options, generator, n_classes)
        self.frozen_part = f"pooled-{options.pool}"
        width = self.head.in_features
        layers = (linear(width, width, generator, backbone.device) for _ in range(options.n_layers - 1))
        self.hidden = nn.ModuleList(layers)

    def states_to_feature(self, states: ImageStates) -> Tensor:
        """What the hidden layers make of the tower's feature, (B, W_out)."""
        feature = super().states_to_feature(states)
        for layer in self.hidden:
            feature = layer(feature).relu()
        return feature
