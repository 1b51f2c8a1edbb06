"""Scores on held-out captions, by which an epoch may be selected. Test data never comes here."""

from __future__ import annotations

import torch

from clipprompt.learners import Learner
from clipprompt.training.data import FeatureData


@torch.no_grad()
def validate(learner: Learner, data: FeatureData, batch_size: int) -> dict[str, float]:
    """Mean loss and mAP of a learner on held-out samples.

    Args:
        learner: is not changed.
        data: held-out samples.
        batch_size: samples at a time.

    Returns:
        ``val_loss`` and ``val_map`` (0..1, mean over the classes that occur).
    """
    from torchmetrics.functional.classification import multilabel_average_precision

    total, logits, targets = 0.0, [], []
    for features, labels in data.in_order(batch_size):
        total += learner.loss_from(features, labels).item() * len(labels)
        logits.append(learner.logits_from(features).float().cpu())
        targets.append(labels.cpu().long())
    target, values = torch.cat(targets), torch.cat(logits).double()
    # torchmetrics wants 0..1; a sigmoid would make large logits equal, a linear map keeps their order.
    values = (values - values.min()) / (values.max() - values.min()).clamp_min(1e-12)
    scores = multilabel_average_precision(values, target, data.n_classes, average="none")
    return {"val_loss": total / len(data), "val_map": scores[target.any(dim=0)].mean().item()}
