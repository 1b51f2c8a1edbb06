"""What learners with a positive and a negative prompt of each class share: DualCoOp and TaI-DPT's variant of it."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipprompt.learners._base import Features, as_multi_hot, global_cosines
from clipprompt.learners._context import ContextLearner, encode_prompts, init_context
from clipprompt.learners._dense import BranchLogits, DenseLearner, local_pair_cosines


class PairLearner(ContextLearner, DenseLearner):
    """A learner that asks of each class how much it looks to be there, and how much not.

    The positive prompt says where to look for a class; both prompts are compared with what is there.

    Attributes:
        ctx_pos: (n, d) or class-specific (C, n, d).
        ctx_neg: the same; with a length of its own.
    """

    branch: ClassVar[Literal["global", "local", "merged"]] = "local"
    ctx_pos: nn.Parameter
    ctx_neg: nn.Parameter

    @property
    @abstractmethod
    def logit_scale(self) -> float | Tensor:
        """Factor of the cosines."""

    def pair_logits(self, images: Tensor) -> Tensor:
        """Logits (B, 2, C) for images (B, 3, H, W), negative first; their softmax is the chance of absent, present."""
        return self.pair_logits_from(self.encode_images(images))

    def pair_logits_from(self, features: Features) -> Tensor:
        """Logits (B, 2, C) from encoded images or captions, the negative ones first."""
        cosines = local_pair_cosines(features, self.text_features(), self.spatial_scale(features))
        return self.logit_scale * cosines.flip(1)

    def branch_logits_from(self, features: Features) -> BranchLogits:
        """Positive minus negative, so that a sigmoid is the probability; the global branch reads the pooled image."""
        positive, negative = self.text_features()
        whole = self.logit_scale * (global_cosines(features, positive) - global_cosines(features, negative))
        absent, present = self.pair_logits_from(features).unbind(dim=1)
        part = present - absent
        return BranchLogits(whole, part, (whole + part) / 2)

    def local_class_features(self) -> Tensor:
        """The features of the positive prompts."""
        return self.text_features()[0]

    def logits_from(self, features: Features) -> Tensor:
        """Positive minus negative of the local branch."""
        absent, present = self.pair_logits_from(features).unbind(dim=1)
        return present - absent

    def loss_from(self, features: Features, labels: Tensor) -> Tensor:
        """The asymmetric loss over the known entries.

        Args:
            features: encoded images.
            labels: multi-hot (B, C); 1 present, 0 absent, -1 unknown. Or long (B,), the one class of each.

        Raises:
            UserError: if the labels do not fit the samples and classes.
        """
        return self._loss(features, as_multi_hot(labels, len(self.classnames)))

    @abstractmethod
    def _loss(self, features: Features, labels: Tensor) -> Tensor:
        """The asymmetric loss for multi-hot labels (B, C)."""

    def _make_contexts(
        self,
        n_ctx: int,
        n_classes: int | None,
        generator: torch.Generator,
        words: tuple[str | None, str | None] = (None, None),
    ) -> None:
        """Makes ``ctx_pos`` and ``ctx_neg``; arguments as ``init_context``. To be called once, by ``__init__``."""
        made = (init_context(self.backbone, n_ctx, each, n_classes, generator) for each in words)
        self.ctx_pos, self.ctx_neg = (nn.Parameter(context) for context in made)

    @property
    def _contexts(self) -> tuple[Tensor, ...]:
        return self.ctx_pos, self.ctx_neg

    def _compute_text_features(self) -> Tensor:
        """Both prompts' features (2, C, E), positive first; in one pass where they are equally long."""
        if self.ctx_pos.shape == self.ctx_neg.shape:
            sets = [torch.stack(self._contexts)]
        else:
            sets = [context[None] for context in self._contexts]
        return F.normalize(torch.cat([encode_prompts(self.backbone, self._prompts, one) for one in sets]), dim=-1)
