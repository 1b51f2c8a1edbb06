"""Losses: functions of (logits, labels). A label is 1 present, 0 absent, -1 unknown (left out), or soft in 0..1."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Reduction = Literal["mean", "batch_mean", "sum"]


def ranking(logits: Tensor, labels: Tensor, margin: float = 1.0, scale: float = 1.0) -> Tensor:
    """Every present class should score above every absent one by a margin (TaI-DPT, arXiv 2211.12739, equation 5).

    The sum over pairs is not divided by their number; a sample without a present or an absent class counts as 0.
    Memory grows with the pairs, one row per present label, and not with the square of the classes.

    Args:
        logits: (B, C). They are not changed (the original multiplies them by the scale in place).
        labels: (B, C) in {1, 0, -1}, or soft targets, which weight a pair (j, i) by y_j (1 - y_i).
        margin: the distance asked for.
        scale: factor of the logits.

    Returns:
        Scalar: sum over pairs, mean over samples.
    """
    samples, classes = (labels > 0).nonzero(as_tuple=True)
    present = scale * logits[samples, classes]
    hinge = F.relu(margin - present[:, None] + scale * logits[samples])
    weight = labels[samples, classes][:, None] * _absent(labels)[samples]
    return (hinge * weight).sum() / len(logits)


def binary_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean binary cross-entropy over the known entries of (B, C)."""
    known = labels >= 0
    return F.binary_cross_entropy_with_logits(logits[known], labels[known].to(logits.dtype))


def softmax_binary_cross_entropy(logits: Tensor, labels: Tensor, eps: float = 1e-8) -> Tensor:
    """Mean binary cross-entropy of the softmax over classes, (B, C)."""
    # 1 - 1e-8 is 1 in float32, whose logit is infinite.
    chance = logits.softmax(dim=-1).clamp(eps, 1 - max(eps, torch.finfo(logits.dtype).eps))
    return binary_cross_entropy(chance.logit(), labels)


def soft_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over rows of -sum y log softmax(x); the targets (B, C) are not normalised."""
    return -(labels * logits.log_softmax(dim=-1)).sum(dim=-1).mean()


def focal(logits: Tensor, labels: Tensor, alpha: float | None = None, reduction: Reduction = "mean") -> Tensor:
    """Binary cross-entropy weighted by the squared error (arXiv 1708.02002, equation 5, gamma 2).

    Args:
        logits: (B, C).
        labels: (B, C), hard or soft.
        alpha: weight of present entries; absent ones get 1 - alpha.
        reduction: over the entries.
    """
    entries = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    entries = entries * (labels - logits.sigmoid()).abs().square()
    if alpha is not None:
        entries = entries * (alpha * labels + (1 - alpha) * (1 - labels))
    return _reduce(entries, reduction)


def asymmetric(
    logits: Tensor,
    labels: Tensor,
    gamma_negative: float = 2.0,
    gamma_positive: float = 1.0,
    clip: float = 0.05,
    eps: float = 1e-8,
    reduction: Reduction = "mean",
    focal_gradient: bool = False,
) -> Tensor:
    """Asymmetric loss of independent sigmoids (arXiv 2009.14119, equation 7). Unknown entries count as 0.

    Args:
        logits: (B, C).
        labels: (B, C) in {1, 0, -1}.
        gamma_negative: focusing exponent of absent entries.
        gamma_positive: focusing exponent of present entries.
        clip: shift that makes easy negatives count nothing.
        eps: smallest probability inside the logarithm.
        reduction: ``batch_mean`` divides the sum by B.
        focal_gradient: let the gradient flow through the focusing weight.
    """
    chance = logits.sigmoid()
    entries = _asymmetric(
        chance, 1 - chance, labels, gamma_negative, gamma_positive, clip, eps, focal_gradient=focal_gradient
    )
    return _reduce(entries, reduction)


def asymmetric_pair(
    logits: Tensor,
    labels: Tensor,
    gamma_negative: float = 2.0,
    gamma_positive: float = 1.0,
    clip: float = 0.05,
    eps: float = 1e-6,
    reduction: Reduction = "sum",
) -> Tensor:
    """Asymmetric loss of a softmax over a negative and a positive logit per class (DualCoOp, arXiv 2206.09541, 3.3).

    Args:
        logits: (B, 2, C), the negative one first.
        labels: (B, C) in {1, 0, -1}; unknown entries count as 0.
        gamma_negative: focusing exponent of absent entries.
        gamma_positive: focusing exponent of present entries.
        clip: shift that makes easy negatives count nothing.
        eps: smallest probability inside the logarithm.
        reduction: the original sums.
    """
    negative, positive = logits.softmax(dim=1).unbind(dim=1)
    return _reduce(_asymmetric(positive, negative, labels, gamma_negative, gamma_positive, clip, eps), reduction)


def _asymmetric(
    positive: Tensor,
    negative: Tensor,
    labels: Tensor,
    gamma_negative: float,
    gamma_positive: float,
    clip: float,
    eps: float,
    *,
    focal_gradient: bool = False,
) -> Tensor:
    present, absent = (labels == 1).to(positive.dtype), (labels == 0).to(positive.dtype)
    negative = (negative + clip).clamp(max=1)
    entries = present * positive.clamp(min=eps).log() + absent * negative.clamp(min=eps).log()
    # The weight is detached rather than computed with gradients switched off and on again, as the originals do.
    sure = present * positive + absent * negative
    weight = (1 - (sure if focal_gradient else sure.detach())) ** (gamma_positive * present + gamma_negative * absent)
    return -weight * entries


def _absent(labels: Tensor) -> Tensor:
    return torch.where(labels < 0, torch.zeros_like(labels), 1 - labels)


def _reduce(entries: Tensor, reduction: Reduction) -> Tensor:
    if reduction == "mean":
        return entries.mean()
    return entries.sum() / (len(entries) if reduction == "batch_mean" else 1)
