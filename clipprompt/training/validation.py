"""Scores on held-out captions, by which an epoch may be selected. Test data never comes here."""

from __future__ import annotations

import torch

from clipprompt.evaluation.metrics import average_precision
from clipprompt.learners import Learner
from clipprompt.training.data import TrainingData


@torch.no_grad()
def validate(learner: Learner, data: TrainingData, batch_size: int) -> dict[str, float]:
    """Mean loss and mAP of a learner on held-out samples.

    Args:
        learner: is not changed.
        data: held-out samples.
        batch_size: samples at a time.

    Returns:
        ``val_loss`` and ``val_map`` (0..1, mean over the classes that occur).
    """
    total, logits, targets = 0.0, [], []
    for inputs, labels in data.in_order(batch_size):
        features = inputs if data.is_encoded else learner.encode_images(inputs)
        total += learner.loss_from(features, labels).item() * len(labels)
        logits.append(learner.logits_from(features).cpu())
        targets.append(labels.cpu().long())
    found = average_precision(torch.cat(logits).numpy(), torch.cat(targets).numpy())
    return {"val_loss": total / len(data), "val_map": found.mean}
