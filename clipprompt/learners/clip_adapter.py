r"""CLIP-Adapter: a bottleneck on the image's feature, mixed with the feature itself (Gao 2021, arXiv 2110.04544).

    f -> linear E to E / reduction -> ReLU -> linear back -> ReLU = a     ratio a + (1 - ratio) f --cos-- class features

Neither layer has a bias, so that what comes out grows with f: normalised features, as they are cached, give the very
logits that the paper's unnormalised ones give. Image features are computed once, and an epoch costs the two layers.

Where we depart from the paper: its second adapter, on the class features, is left out.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.learners._base import Features, LearnerOptions
from clipprompt.learners._classifier import ClassifierLearner, ClassifierOptions
from clipprompt.learners._layers import linear


class CLIPAdapterOptions(ClassifierOptions):
    """Options of ``clip_adapter``."""

    reduction: int = Field(4, ge=1, description="how many times narrower the bottleneck is than the feature")
    ratio: float = Field(0.2, gt=0, le=1, description="the bottleneck's part of the mixture; the rest is the feature's")


class CLIPAdapter(ClassifierLearner):
    """Two linear layers behind the image tower. Parameters: ``down`` (h, E) and ``up`` (E, h), h = E / reduction."""

    Options: ClassVar[type[LearnerOptions]] = CLIPAdapterOptions
    options: CLIPAdapterOptions

    def __init__(
        self, backbone: Backbone, options: CLIPAdapterOptions, generator: torch.Generator, n_classes: int
    ) -> None:
        super().__init__(backbone, options, generator, n_classes)
        width = backbone.embed_dim
        if options.reduction > width:
            raise UserError(f"reduction {options.reduction} is more than the {width} numbers of a feature")
        n_hidden = width // options.reduction
        self.down = nn.Parameter(linear(width, n_hidden, generator, backbone.device).weight.detach())
        self.up = nn.Parameter(linear(n_hidden, width, generator, backbone.device).weight.detach())

    def adapted_features(self, features: Features) -> Tensor:
        """The images' features behind the bottleneck, L2-normalised float32 (B, E)."""
        whole, ratio = self._whole(features), self.options.ratio
        changed = F.linear(F.linear(whole, self.down).relu(), self.up).relu()
        return F.normalize(ratio * changed + (1 - ratio) * whole, dim=-1)

    def logits_from(self, features: Features) -> Tensor:
        """Scaled cosines (B, C) of the adapted features with the class features."""
        return self.backbone.logit_scale * self.adapted_features(features) @ self.text_features().T
