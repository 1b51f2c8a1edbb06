r"""KgCoOp: prompt tuning with knowledge-guided context optimization (Yao 2023, arXiv 2303.13283).

    learnt        [start][ctx 1 … n][name][.][end] -> text tower -> class features --cos with images--> cross-entropy \
                                                                         |                                             +
    hand-written  "a photo of a {}."               -> text tower -> class features --squared distance, mean over classes

CoOp whose class features are kept near those of hand-written sentences, so that it forgets less of what CLIP knows of
classes it was not trained on.

Where we depart from the original code: the distance is the squared Euclidean one of the paper. The code takes one minus
the cosine, half of it, so that ``distance_weight`` 4 is the code's 8.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from clipprompt.learners._base import Features, cross_entropy, global_cosines
from clipprompt.learners._written import WrittenLearner, WrittenOptions
from clipprompt.learners.coop import CoOp, CoOpOptions


class KgCoOpOptions(WrittenOptions, CoOpOptions):
    """Options of ``kgcoop``: CoOp's, and what holds it."""

    n_ctx: int = Field(4, ge=1, description="context vectors")
    ctx_init: str | None = Field("a photo of a", description="words to start from; random when null")
    distance_weight: float = Field(8.0, ge=0, description="weight of the distance to the hand-written sentences")


class KgCoOp(WrittenLearner, CoOp):
    """CoOp held near hand-written sentences. Parameter: ``ctx``, (n_ctx, d) or class-specific (C, n_ctx, d)."""

    Options: ClassVar[type[KgCoOpOptions]] = KgCoOpOptions
    options: KgCoOpOptions

    def loss_from(self, features: Features, labels: Tensor) -> Tensor:
        """The cross-entropy, and the distance to the hand-written sentences' features.

        Args:
            features: encoded images.
            labels: long (B,) or multi-hot (B, C); 1 present, 0 absent, -1 unknown.
        """
        text = self.text_features()
        logits = self.backbone.logit_scale * global_cosines(features, text)
        distance = (text - self.written_features()).square().sum(dim=-1).mean()
        return cross_entropy(logits, labels) + self.options.distance_weight * distance
