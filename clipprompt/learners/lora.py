r"""LoRA in the image tower, and a linear head (Hu 2022, arXiv 2106.09685, 4.1).

    x --W--------------------------(+)-- q, v of every block -> … -> image's feature -> head
      \--A (r, in)--B (out, r)-- alpha / r

A starts uniform, B zero, so that the tower starts as it is. Once learnt, B A is added to W: nothing is slower for it.
peft puts the layers beside the weights. Where we depart from the paper: A starts as linear layers do (there, normal).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from clipprompt.backbone import Backbone
from clipprompt.learners._base import LearnerOptions
from clipprompt.learners._head import HeadLearner, HeadOptions
from clipprompt.learners._lora import LoraLearner, LoraOptions


class LoRAOptions(LoraOptions, HeadOptions):
    """Options of ``lora``."""


class LoRA(LoraLearner, HeadLearner):
    """Low-rank changes of the image tower.

    Parameters: ``lora.image/BLOCK/PROJECTION/A`` (r, in) and ``…/B`` (out, r), and the head's.
    """

    Options: ClassVar[type[LearnerOptions]] = LoRAOptions
    options: LoRAOptions

    def __init__(self, backbone: Backbone, options: LoRAOptions, generator: torch.Generator, n_classes: int) -> None:
        super().__init__(backbone, options, generator, n_classes)
        self._make_lora(("image",), generator)

    def image_state(self, images: Tensor) -> Tensor:
        """The feature (B, W_out) of the tower with LoRA."""
        tower = self.adapted.vision
        return tower.final(tower.trunk(images), self.options.pool)
