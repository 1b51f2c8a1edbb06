r"""Adapters: a bottleneck inside each block of the image tower, and a linear head (Houlsby 2019, arXiv 1902.00751).

    block:  x + attention(x)        x + MLP(x) + up(gelu(down(MLP(x))))        -> … -> image's feature -> head
                                                W / reduction wide

One bottleneck a block, behind its MLP and inside the residual branch (Pfeiffer 2020, 2005.00247), as VPT's study has
them (2203.12119, 4.1). Its weights start normal with standard deviation 0.01, its biases at zero: near the identity.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from clipprompt.backbone import Backbone
from clipprompt.backbone.insertion import insert_after_feed_forward
from clipprompt.learners._base import LearnerOptions
from clipprompt.learners._head import HeadLearner, HeadOptions
from clipprompt.learners._layers import near_zero_linear


class AdapterOptions(HeadOptions):
    """Options of ``adapter``."""

    reduction: int = Field(64, ge=1, description="how many times narrower the bottleneck is than its block")


class Bottleneck(nn.Module):
    """``x + up(gelu(down(x)))`` in float32, given back in the type of x. Parameters: ``down`` (h, W), ``up`` (W, h)."""

    def __init__(self, width: int, n_hidden: int, generator: torch.Generator, device: torch.device) -> None:
        super().__init__()
        self.down = near_zero_linear(width, n_hidden, generator, device)
        self.up = near_zero_linear(n_hidden, width, generator, device)

    def forward(self, states: Tensor) -> Tensor:
        """(…, W) to (…, W)."""
        change: Tensor = self.up(F.gelu(self.down(states.float())))
        return states + change.to(states.dtype)


class Adapter(HeadLearner):
    """Bottlenecks in the image tower.

    Parameters: ``bottlenecks.BLOCK.{down,up}.{weight,bias}``, W / reduction units each, and the head's.
    """

    Options: ClassVar[type[LearnerOptions]] = AdapterOptions
    options: AdapterOptions

    def __init__(self, backbone: Backbone, options: AdapterOptions, generator: torch.Generator, n_classes: int) -> None:
        super().__init__(backbone, options, generator, n_classes)
        self.bottlenecks = nn.ModuleList()

        def make(block: int, width: int) -> nn.Module:
            made = Bottleneck(width, max(1, width // options.reduction), generator, backbone.device)
            self.bottlenecks.append(made)
            return made

        self._adapted = backbone.fork()
        insert_after_feed_forward(self._adapted, make)

    def image_state(self, images: Tensor) -> Tensor:
        """The feature (B, W_out) of the tower with bottlenecks."""
        tower = self._adapted.vision
        return tower.final(tower.trunk(images), self.options.pool)
