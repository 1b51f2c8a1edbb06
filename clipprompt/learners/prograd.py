r"""ProGrad: prompt-aligned gradient for prompt tuning (Zhu 2023, arXiv 2205.14865).

    images, labels             --cross-entropy------------> gradient d \
                                                                        +-- d, or d - projection x (d's part along g)
    images, zero-shot logits   --KL(zero-shot || learnt)--> gradient g /    where d and g point against each other

CoOp whose steps do not undo what hand-written sentences say of the same images. ``loss`` is a scalar like any other: it
has the value of the cross-entropy and the projected gradient, so that one training loop serves. Both gradients are
those of the batch that one call sees. Where a batch is shared by several processes, each projects by its own share, and
the projected gradients are added up. A factor on the loss, such as float16's, scales the projected gradient.

Where we depart from the original code: the context starts random, or from words that bring as many vectors as they have
tokens (there, it ends in the data set's template, after vectors of zeros).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from clipprompt import losses
from clipprompt.learners._base import Features, cross_entropy, global_cosines
from clipprompt.learners._written import WrittenLearner, WrittenOptions
from clipprompt.learners.coop import CoOp, CoOpOptions


class ProGradOptions(WrittenOptions, CoOpOptions):
    """Options of ``prograd``: CoOp's, and how its gradient is held."""

    projection: float = Field(1.0, ge=0, description="share of a conflicting gradient that is taken out")
    temperature: float = Field(1.0, gt=0, description="of both softmaxes in the divergence from zero-shot logits")


class ProGrad(WrittenLearner, CoOp):
    """CoOp with a projected gradient. Parameter: ``ctx``, (n_ctx, d) or class-specific (C, n_ctx, d)."""

    Options: ClassVar[type[ProGradOptions]] = ProGradOptions
    options: ProGradOptions

    def loss_from(self, features: Features, labels: Tensor) -> Tensor:
        """The cross-entropy, whose gradient is projected; where none are asked for, the cross-entropy itself.

        Args:
            features: encoded images.
            labels: long (B,) or multi-hot (B, C); 1 present, 0 absent, -1 unknown.
        """
        text, scale = self.text_features(), self.backbone.logit_scale
        logits = scale * global_cosines(features, text)
        loss = cross_entropy(logits, labels)
        if not torch.is_grad_enabled():
            return loss
        warmth = self.options.temperature
        zero_shot = (scale * global_cosines(features, self.written_features()) / warmth).softmax(dim=-1)
        # The divergence but for the entropy of the zero-shot predictions, which has no gradient.
        divergence = losses.soft_cross_entropy(logits / warmth, zero_shot)
        by_loss, by_divergence = (torch.autograd.grad(x, text, retain_graph=True)[0] for x in (loss, divergence))
        # A pass of its own for each: no graph is kept for a second use, which compiled towers do not allow.
        descent, guide = self._gradient(text, by_loss), self._gradient(self.text_features(), by_divergence)
        gradient = project(descent, guide, self.options.projection)
        return loss.detach() + ((self.ctx - self.ctx.detach()) * gradient).sum()

    def _gradient(self, text: Tensor, by_text: Tensor) -> Tensor:
        """By the context. It passes the text tower at a size around 1, which a float16 tower can hold."""
        size = by_text.abs().max().clamp(min=torch.finfo(by_text.dtype).tiny)
        (by_context,) = torch.autograd.grad(text, self.ctx, by_text / size)
        return size * by_context


def project(gradient: Tensor, guide: Tensor, share: float) -> Tensor:
    """Takes a share of what points against ``guide`` out of a gradient of the same shape; the rest stays."""
    direction = F.normalize(guide.flatten(), dim=0)
    against = (gradient.flatten() @ direction).clamp(max=0)
    return gradient - share * against * direction.view_as(gradient)
