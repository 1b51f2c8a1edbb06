r"""Partial tuning: the image tower's last k blocks, the norm after them, and a head (VPT, arXiv 2203.12119, 4.1).

images -> block 0 … block L-k-1 -> states, computed once -> block L-k … L-1, final norm -> feature -> head
          \____ frozen ____/                                \______________ learnt ______________/
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.learners._base import ImageStates, LearnerOptions
from clipprompt.learners._head import HeadLearner, HeadOptions
from clipprompt.learners._tower_weights import copy_weights, names_read, run_with_copies


class PartialOptions(HeadOptions):
    """Options of ``partial``."""

    n_blocks: int = Field(1, ge=1, description="blocks that are learnt, from the last one back")


class Partial(HeadLearner):
    """Last blocks learnt. Parameters: ``weights``, each as the tower names it, and the head's."""

    Options: ClassVar[type[LearnerOptions]] = PartialOptions
    options: PartialOptions

    def __init__(self, backbone: Backbone, options: PartialOptions, generator: torch.Generator, n_classes: int) -> None:
        super().__init__(backbone, options, generator, n_classes)
        n_blocks = len(backbone.vision.block_names)
        if options.n_blocks > n_blocks:
            raise UserError(
                f"n_blocks {options.n_blocks} is too large: the image tower of {backbone.name} has {n_blocks} blocks; "
                "the method full learns all of it"
            )
        self._layer = n_blocks - options.n_blocks
        self.frozen_part = f"before-{self._layer}"
        self.weights = copy_weights(backbone.vision, names_read(backbone, options.pool, self._layer))

    def encode_images(self, images: Tensor) -> ImageStates:
        """States that enter the first block that is learnt."""
        with torch.no_grad():
            hidden = self.backbone.vision.trunk_to(images.to(self.backbone.device), self._layer)
        return ImageStates(hidden.states, hidden.grid)

    def states_to_feature(self, states: ImageStates) -> Tensor:
        """The feature of the learnt blocks; of the last one, the rows that are read alone."""
        tower, hidden = self.backbone.vision, self.as_hidden(states)
        return run_with_copies(
            tower, self.weights, lambda: tower.final(tower.trunk_from(hidden, self._layer), self.options.pool)
        )
