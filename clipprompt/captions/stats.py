"""What is in a corpus: counts per class."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from clipprompt.captions.corpus import Corpus


@dataclass(frozen=True)
class CorpusStats:
    """Counts of a corpus.

    Attributes:
        n_captions: captions in it.
        n_labelled: of those, captions that name a class.
        n_images: different images; captions without an image are not counted.
        n_labels: labels of all captions together.
        mean_labels: labels per labelled caption.
        per_class: captions that name each class, in class order.
    """

    n_captions: int
    n_labelled: int
    n_images: int
    n_labels: int
    mean_labels: float
    per_class: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """The counts as plain values, for JSON."""
        return asdict(self)


def corpus_stats(corpus: Corpus) -> CorpusStats:
    """Counts captions, labels and classes."""
    n_labels = len(corpus.labels.values)
    n_labelled = int((corpus.labels.counts() > 0).sum())
    per_class = np.bincount(corpus.labels.values, minlength=len(corpus.classnames))
    return CorpusStats(
        n_captions=len(corpus),
        n_labelled=n_labelled,
        n_images=len({image for image in corpus.image_ids if image is not None}),
        n_labels=n_labels,
        mean_labels=n_labels / n_labelled if n_labelled else 0.0,
        per_class=dict(zip(corpus.classnames, per_class.tolist(), strict=True)),
    )
