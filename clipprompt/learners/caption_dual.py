r"""TaI-DPT's own positive/negative prompts, by which it runs DualCoOp (Guo 2023, arXiv 2211.12739, table 3).

    positive  [start][ctx_pos 1 … n][name][.][end] -> text tower --cos--+-- softmax over places: where to look
                                                                        |            v
    image -> image tower -> places -------------------------------------+-> weighted sums, their difference -> sigmoid
                                                                        |            ^
    negative  [start][ctx_neg 1 … n][name][.][end] -> text tower --cos--+------------+

Beside DualCoOp: places alone, as they look without positions; both scales are learnt, as exponentials; the loss is that
of independent sigmoids, divided by the number of images.

Where we depart from the original code: unknown is -1 and absent 0, as everywhere here (there, it is the reverse).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from clipprompt import losses
from clipprompt.backbone import Backbone
from clipprompt.learners._base import Features, LearnerOptions
from clipprompt.learners._pair import PairLearner


class CaptionDualOptions(LearnerOptions):
    """Options of ``caption_dual``."""

    n_ctx: int = Field(16, ge=1, description="context vectors of each prompt")
    class_specific: bool = Field(False, description="two contexts per class instead of two for all")


class CaptionDual(PairLearner):
    """A positive and a negative context, and learnt scales.

    Parameters: ``ctx_pos`` and ``ctx_neg``, (n_ctx, d) or class-specific (C, n_ctx, d); the scalars ``temperature`` and
    ``spatial_temperature``, whose exponentials are the factor of the cosines and the sharpness over places.
    """

    Options: ClassVar[type[LearnerOptions]] = CaptionDualOptions
    trains_on_both: ClassVar[bool] = True
    options: CaptionDualOptions

    def __init__(
        self, backbone: Backbone, options: CaptionDualOptions, generator: torch.Generator, n_classes: int
    ) -> None:
        super().__init__(backbone, options, generator, n_classes)
        self._make_contexts(options.n_ctx, n_classes if options.class_specific else None, generator)
        self.temperature = nn.Parameter(torch.tensor(3.91, device=backbone.device))
        self.spatial_temperature = nn.Parameter(torch.tensor(3.0, device=backbone.device))

    @property
    def pools_with_positions(self) -> bool:
        """The attention pool is read without its positional embedding."""
        return False

    @property
    def logit_scale(self) -> Tensor:
        """Learnt; about 50 at the start."""
        return self.temperature.exp()

    def spatial_scale(self, features: Features) -> Tensor:
        """Learnt; about 20 at the start."""
        return self.spatial_temperature.exp()

    def _loss(self, features: Features, labels: Tensor) -> Tensor:
        """That of independent sigmoids on the local branch, per image."""
        return losses.asymmetric(self.logits_from(features), labels, reduction="batch_mean")
