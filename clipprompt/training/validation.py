"""Scores on held-out samples, by which an epoch may be selected. Test data never comes here."""

from __future__ import annotations

import torch

from clipprompt.evaluation.metrics import average_precision
from clipprompt.learners import Learner
from clipprompt.training.data import TrainingData


@torch.no_grad()
def validate(learner: Learner, data: TrainingData, batch_size: int) -> dict[str, float]:
    """Mean loss and mAP of a learner on held-out samples, and its accuracy where each has exactly one class.

    Args:
        learner: is not changed.
        data: held-out samples.
        batch_size: samples at a time.

    Returns:
        ``val_loss``, ``val_map`` (0..1, mean over the classes that occur) and perhaps ``val_accuracy`` (0..1).
    """
    total, logits, targets = 0.0, [], []
    for inputs, labels in data.in_order(batch_size):
        features = inputs if data.is_encoded else learner.encode_images(inputs)
        total += learner.loss_from(features, labels).item() * len(labels)
        logits.append(learner.logits_from(features).cpu())
        targets.append(labels.cpu().long())
    scores, truth = torch.cat(logits), torch.cat(targets)
    values = {"val_loss": total / len(truth), "val_map": average_precision(scores.numpy(), truth.numpy()).mean}
    if bool(((truth > 0).sum(dim=1) == 1).all() and (truth >= 0).all()):
        values["val_accuracy"] = float((scores.argmax(dim=1) == truth.argmax(dim=1)).float().mean())
    return values


def selection_score(select: str, values: dict[str, float]) -> float:
    """What ``train.select`` compares epochs by, higher is better.

    Args:
        select: ``val_loss``; ``val_map``; or ``val``, which is the accuracy where there is one, and else the mAP.
        values: of ``validate``.
    """
    if select == "val_loss":
        return -values["val_loss"]
    return values.get("val_accuracy", values["val_map"]) if select == "val" else values["val_map"]
