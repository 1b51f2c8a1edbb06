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

    The positive prompt says where to look for a class; both prompts are compared with what is there. Without a negative
    prompt its logit is 0, and the softmax of the two is the sigmoid of the positive one.

    Attributes:
        ctx_pos: (n, d) or class-specific (C, n, d).
        ctx_neg: the same, with a length of its own; None without a negative prompt.
    """

    branch: ClassVar[Literal["global", "local", "merged"]] = "local"
    ctx_pos: nn.Parameter
    ctx_neg: nn.Parameter | None

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
        pairs = F.pad(cosines, (0, 0, 0, 2 - cosines.shape[1]))
        return self.logit_scale * pairs.flip(1)

    def branch_logits_from(self, features: Features) -> BranchLogits:
        """Positive minus negative, so that a sigmoid is the probability; the global branch reads the pooled image."""
        positive, *negative = (global_cosines(features, text) for text in self.text_features())
        whole = self.logit_scale * (positive - negative[0] if negative else positive)
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
        *,
        negative: bool = True,
    ) -> None:
        """Makes ``ctx_pos`` and ``ctx_neg``; arguments as ``init_context``. To be called once, by ``__init__``."""
        used = words if negative else words[:1]
        made = [nn.Parameter(init_context(self.backbone, n_ctx, each, n_classes, generator)) for each in used]
        self.ctx_pos, self.ctx_neg = made[0], made[1] if negative else None

    @property
    def _contexts(self) -> tuple[Tensor, ...]:
        return (self.ctx_pos,) if self.ctx_neg is None else (self.ctx_pos, self.ctx_neg)

    def _compute_text_features(self) -> Tensor:
        """The prompts' features (1 or 2, C, E), positive first; in one pass where both are equally long."""
        contexts = self._contexts
        if len({context.shape for context in contexts}) == 1:
            sets = [torch.stack(contexts)]
        else:
            sets = [context[None] for context in contexts]
        return F.normalize(torch.cat([encode_prompts(self.backbone, self._prompts, one) for one in sets]), dim=-1)
