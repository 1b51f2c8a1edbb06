"""Labelled samples to calibrate on, scored by a learner. Here: images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from clipprompt.datasets import MultiLabelImages
from clipprompt.datasets.images import UNKNOWN
from clipprompt.datasets.partial.known import only_labelled
from clipprompt.errors import UserError
from clipprompt.features.images import image_batches
from clipprompt.learners import Learner
from clipprompt.progress import track

_BATCH = 64


@dataclass(frozen=True)
class Samples:
    """Scores of N samples with labels: 1 present, 0 absent, -1 unknown.

    Attributes:
        scores: float32 (N, R), the learner's ``logits_from`` for the reference list.
        targets: int8 (N, C).
        source: what they are, for people.
        notes: what people should know about them.
        skipped: one line for each that could not be read.
    """

    scores: npt.NDArray[np.float32]
    targets: npt.NDArray[np.int8]
    source: str
    notes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


@torch.no_grad()
def image_samples(learner: Learner, dataset: MultiLabelImages, *, workers: int = 4, most: int = 10_000) -> Samples:
    """Scores labelled images. One that cannot be read is skipped, and named.

    Args:
        learner: has the R reference names as its classes.
        dataset: the images, with labels for C classes; those without any known label are left out.
        workers: threads that decode; 0 decodes in this one.
        most: of more images than this, so many are drawn, with seed 0.

    Raises:
        UserError: if the backbone has no transform, no label is known, or no image can be read.
    """
    whole, dataset = len(dataset), only_labelled(dataset)
    rows = draw(np.arange(len(dataset)), most).tolist()
    read, skipped, scores = list[int](), list[str](), list[npt.NDArray[np.float32]]()
    stream = image_batches(learner.backbone, rows, lambda row: dataset[row], batch_size=_BATCH, workers=workers)
    for batch in track(stream, "Scoring", total=-(-len(rows) // _BATCH), unit="batches"):
        skipped += [str(error) for _, error in batch.unreadable]
        if batch.items:
            read += batch.items
            scores.append(learner.logits_from(learner.encode_images(batch.images)).float().cpu().numpy())
    if not scores:
        raise UserError(f"{dataset.name}: none of its {len(rows)} images can be read; the first: {skipped[0]}")
    targets = dataset.targets[read]
    source = f"{len(read):,} of {whole:,} images of {dataset.name}"
    if (unknown := (targets == UNKNOWN).mean()) > 0:
        source += f", {100 * (1 - unknown):.0f} % of their labels known"
    return Samples(np.concatenate(scores), targets, source, dataset.notes, tuple(skipped))


def draw(rows: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.int64]:
    """At most ``most`` of some row numbers, drawn with seed 0, in their order."""
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(0).choice(rows, most, replace=False))
