"""Accuracy of pictures with one class each, in float64, and the harmonic mean of two accuracies.

Accuracy is over pictures, as in the papers, not the mean over classes. Where two classes have the same score, the first
is the prediction.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]


def predictions(scores: npt.NDArray[np.floating], first: Sequence[int] | None = None) -> Labels:
    """The class with the highest score of each picture: (N, C) to (N,).

    Args:
        scores: (N, C).
        first: of each class the first one with the same prompt (``Learner.first_of_same_prompt``). Their scores are the
            same but for rounding, so the first is the prediction.
    """
    best: Labels = scores.argmax(axis=1).astype(np.int64)
    return best if first is None else np.asarray(first, dtype=np.int64)[best]


def accuracy(predicted: Labels, labels: Labels) -> float:
    """The part of the pictures whose class was found.

    Args:
        predicted: (N,), N at least 1.
        labels: (N,).

    Raises:
        ValueError: if there is no picture, or the lengths differ.
    """
    if not len(labels) or predicted.shape != labels.shape:
        raise ValueError(f"{predicted.shape} predictions for {labels.shape} labels have no accuracy")
    return float((predicted == labels).mean(dtype=np.float64))


def per_class_accuracy(predicted: Labels, labels: Labels, n_classes: int) -> list[float | None]:
    """The part of each class's pictures that was found; None for a class without a picture.

    Args:
        predicted: (N,).
        labels: (N,) from 0 to ``n_classes`` - 1.
        n_classes: C.
    """
    n_pictures = np.bincount(labels, minlength=n_classes)
    n_found = np.bincount(labels[predicted == labels], minlength=n_classes)
    return [float(found / n) if n else None for found, n in zip(n_found, n_pictures, strict=True)]


def harmonic_mean(base: float, novel: float) -> float:
    """Of two accuracies, none below 0; 0 where one of them is 0."""
    return 2 * base * novel / (base + novel) if base and novel else 0.0
