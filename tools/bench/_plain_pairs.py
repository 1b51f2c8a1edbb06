"""The usual formulation of DualCoOp and of TaI-DPT's variant: two prompts of every class at 77 positions, and regions.

The image tower runs in every step, without gradients. Of its attention pool only the two projections that make the
regions are computed. Texts are tokenised and embedded before the first step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from clipprompt import losses
from tools.bench._plain import Texts


def pair_loss(learner: Any) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss of ``dualcoop`` or ``caption_dual`` for images (B, 3, H, W) and labels (B, C), on a ModifiedResNet."""
    texts = Texts(learner, learner.options.n_ctx, copies=2)
    n_classes, dualcoop = len(learner.classnames), learner.name == "dualcoop"
    encode_regions = _regions(learner)

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        regions = encode_regions(images)
        contexts = [context.expand(n_classes, -1, -1) for context in (learner.ctx_neg, learner.ctx_pos)]
        cosines = texts.encode(torch.cat(contexts)) @ regions.transpose(1, 2)
        sharpness = learner.options.spatial_scale if dualcoop else learner.spatial_temperature.exp()
        weights = (sharpness * cosines[:, n_classes:]).softmax(dim=-1)
        scale = learner.options.logit_scale if dualcoop else learner.temperature.exp()
        logits = (scale * cosines * torch.cat([weights, weights], dim=1)).sum(dim=-1).unflatten(1, (2, -1))
        if dualcoop:
            weight: float = learner.options.loss_weight
            return weight * losses.asymmetric_pair(logits, labels)
        return losses.asymmetric(logits[:, 1] - logits[:, 0], labels, reduction="batch_mean")

    return loss


def _regions(learner: Any) -> Callable[[Tensor], Tensor]:
    """Normalised regions (B, P, E): DualCoOp's with the mean token in front and with positions."""
    visual = learner.backbone.model.visual
    pool = visual.attnpool
    side = round((len(pool.positional_embedding) - 1) ** 0.5)
    of_mean, of_places = pool.positional_embedding.T.split([1, side * side], dim=1)

    @torch.no_grad()
    def encode(images: Tensor) -> Tensor:
        x = visual.layer4(visual.layer3(visual.layer2(visual.layer1(visual.stem(images)))))
        states = x.flatten(2).transpose(1, 2)
        if learner.name == "dualcoop":
            native = of_places.reshape(1, -1, side, side)
            resized = F.interpolate(native, size=x.shape[2:], mode="bicubic", align_corners=False)[0].flatten(1)
            states = torch.cat([states.mean(dim=1, keepdim=True), states], dim=1)
            states = states + torch.cat([of_mean, resized], dim=1).T
        return F.normalize(pool.c_proj(pool.v_proj(states)), dim=-1)

    return encode
