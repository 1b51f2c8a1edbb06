r"""DualCoOp: fast adaptation to multi-label recognition with limited annotations (Sun 2022, arXiv 2206.09541).

    positive  [start][ctx_pos 1 … n][name][.][end] -> text tower --cos--+-- softmax over regions: where to look
                                                                        |            v
    image -> image tower -> mean token, places -------------------------+-> weighted sum -> present \
                                                                        |            ^               softmax of two
    negative  [start][ctx_neg 1 … n][name][.][end] -> text tower --cos--+------------+  -> absent   /

Learns from partial labels: an entry that is not known (-1) enters no loss. The regions are what CLIP's attention pool
sees, the mean over places and each place, with positions; of a ViT they are the image's own feature and its places.

With ``negative=False``, the paper's ablation, only the positive prompt is learnt, and a sigmoid of its logit answers.

Where we depart from the original code: words to start from bring as many vectors as they have tokens (there, words are
counted) and start class-specific contexts too; any grid of places and any number of heads will do; the text tower is
frozen throughout; the ablation leaves unknown entries out as well (there, they enter its loss as targets of -1 and 2).
The global branch, the pooled image against the prompts, is ours: the original has none.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from clipprompt import losses
from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.learners._base import Features, LearnerOptions
from clipprompt.learners._pair import PairLearner


class DualCoOpOptions(LearnerOptions):
    """Options of ``dualcoop``."""

    n_ctx: int = Field(16, ge=1, description="context vectors of each prompt")
    class_specific: bool = Field(False, description="two contexts per class instead of two for all")
    ctx_init_pos: str | None = Field(None, description="words to start the positive context from; random when null")
    ctx_init_neg: str | None = Field(None, description="words to start the negative context from; random when null")
    negative: bool = Field(True, description="learn a prompt of absence too; without, a sigmoid of presence alone")
    loss_weight: float = Field(0.02, gt=0, description="factor of the loss, which is a sum over images and classes")
    logit_scale: float = Field(100.0, gt=0, description="factor of the cosines")
    spatial_scale: float = Field(20.0, gt=0, description="sharpness of the softmax over regions")


class DualCoOp(PairLearner):
    """A positive and a negative context.

    Parameters: ``ctx_pos`` and, with ``negative``, ``ctx_neg``; each (n_ctx, d) or class-specific (C, n_ctx, d).
    """

    Options: ClassVar[type[LearnerOptions]] = DualCoOpOptions
    places_as_pooled: ClassVar[bool] = True
    loss_is_a_sum: ClassVar[bool] = True
    options: DualCoOpOptions

    def __init__(
        self, backbone: Backbone, options: DualCoOpOptions, generator: torch.Generator, n_classes: int
    ) -> None:
        super().__init__(backbone, options, generator, n_classes)
        if options.ctx_init_neg is not None and not options.negative:
            raise UserError(f"ctx_init_neg {options.ctx_init_neg!r} needs negative=True: leave one of the two out")
        words, rows = (options.ctx_init_pos, options.ctx_init_neg), n_classes if options.class_specific else None
        self._make_contexts(options.n_ctx, rows, generator, words, negative=options.negative)

    @property
    def logit_scale(self) -> float:
        """The option's."""
        return self.options.logit_scale

    def spatial_scale(self, features: Features) -> float:
        """The option's."""
        return self.options.spatial_scale

    def _loss(self, features: Features, labels: Tensor) -> Tensor:
        """That of the softmax over absent and present, summed over images (section 3.3)."""
        return self.options.loss_weight * losses.asymmetric_pair(self.pair_logits_from(features), labels)
