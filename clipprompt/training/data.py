"""What a learner is trained on, once its features are computed: cached features with labels, in batches.

    captions --unique--> tokens --length--> cache (encoded once) --batches(epoch, seed)--> (features, multi-hot labels)

The order of the batches depends on the seed and the epoch alone, so a run can be cut off and gone on with anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor

from clipprompt.config import DataConfig
from clipprompt.features.cache import FeatureCache, Ints, build_cache, hash_array
from clipprompt.learners import CaptionFeatures, ImageFeatures, Learner
from clipprompt.progress import track

_TEXTS_PER_CALL = 4096
Features = Any
"""``CaptionFeatures`` or ``ImageFeatures``: what the learner's ``loss_from`` takes."""


class TrainingData(Protocol):
    """N labelled samples, in batches whose order depends on the seed and the epoch alone.

    Attributes:
        is_encoded: batches hold features, for ``Learner.loss_from``; otherwise images (B, 3, H, W), for
            ``Learner.loss``.
    """

    @property
    def is_encoded(self) -> bool:
        """See the class."""

    def __len__(self) -> int:
        """N."""

    def n_batches(self, batch_size: int) -> int:
        """Batches of an epoch."""

    def batches(self, epoch: int, seed: int, batch_size: int, start: int = 0) -> Iterator[tuple[Any, Tensor]]:
        """Shuffled batches of an epoch, from a batch on: inputs and multi-hot labels (B, C)."""

    def in_order(self, batch_size: int) -> Iterator[tuple[Any, Tensor]]:
        """All samples in their own order, not augmented, the last batch smaller."""


@dataclass(frozen=True)
class FeatureData:
    """N samples: each an item of a cache, with labels.

    Attributes:
        cache: the features of the items. Equal captions share one item.
        items: (N,) the item of each sample.
        labels: N lists of class indices.
        n_classes: C.
        unpack: rows (T, E) and lengths (B,) to the features that the learner takes.
        device: where batches go.
    """

    is_encoded: ClassVar[bool] = True
    cache: FeatureCache
    items: Ints
    labels: Sequence[Sequence[int]]
    n_classes: int
    unpack: Callable[[Tensor, Tensor], Features]
    device: torch.device

    def __len__(self) -> int:
        return len(self.items)

    def n_batches(self, batch_size: int) -> int:
        """Batches of an epoch. The last, smaller one is left out, unless it is the only one."""
        return max(1, len(self) // batch_size)

    def batches(self, epoch: int, seed: int, batch_size: int, start: int = 0) -> Iterator[tuple[Features, Tensor]]:
        """Shuffled batches of an epoch.

        Args:
            epoch: counted from 0; every epoch has an order of its own.
            seed: of the orders.
            batch_size: samples of a batch.
            start: batches to leave out, because they are done.

        Yields:
            Features of the batch, and multi-hot labels, float32 (B, C).
        """
        order = np.random.default_rng([seed, epoch]).permutation(len(self))
        for number in range(start, self.n_batches(batch_size)):
            # Sorted: a mean over the batch has no order, and a disk is read from left to right.
            yield self.take(np.sort(order[number * batch_size : (number + 1) * batch_size]))

    def in_order(self, batch_size: int) -> Iterator[tuple[Features, Tensor]]:
        """All samples, in their own order."""
        for start in range(0, len(self), batch_size):
            yield self.take(np.arange(start, min(start + batch_size, len(self))))

    def take(self, samples: Ints) -> tuple[Features, Tensor]:
        """Features and multi-hot labels (B, C) of some samples."""
        rows, lengths = self.cache.take(self.items[samples])
        labels = torch.zeros(len(samples), self.n_classes)
        for row, sample in enumerate(samples.tolist()):
            labels[row, list(self.labels[sample])] = 1.0
        features = self.unpack(rows.to(self.device), lengths.to(self.device))
        return features, labels.to(self.device)

    def subset(self, samples: Ints) -> FeatureData:
        """Some of the samples, on the same cache."""
        return replace(self, items=self.items[samples], labels=[self.labels[i] for i in samples.tolist()])


def caption_data(
    learner: Learner,
    captions: Sequence[str],
    labels: Sequence[Sequence[int]],
    options: DataConfig,
    folder: Path | None = None,
    after_batch: Callable[[], None] = lambda: None,
) -> FeatureData:
    """Encodes captions once. Those that are too long for the text tower are cut; equal ones are encoded once.

    Args:
        learner: one that trains on captions.
        captions: N texts.
        labels: N lists of class indices.
        options: where and how the features are kept.
        folder: for a cache too large for memory, when ``options.cache`` names none.
        after_batch: called while encoding; may raise to stop.

    Raises:
        UserError: if the cache cannot be written.
    """
    unique = list(dict.fromkeys(captions))
    number = {caption: i for i, caption in enumerate(unique)}
    items = np.fromiter((number[caption] for caption in captions), dtype=np.int64, count=len(captions))
    tokens = _tokenize(learner, unique)
    lengths = learner.backbone.text.end_positions(tokens).numpy() + 1

    def encode(wanted: Ints) -> Tensor:
        ids = tokens[torch.from_numpy(wanted), : int(lengths[wanted].max())].long()
        return learner.encode_captions(ids).tokens

    backbone = learner.backbone
    key = {
        "kind": "caption tokens, normalised",
        "weights": backbone.fingerprint(),
        "computed": f"torch {torch.__version__} on {backbone.device.type}",
        "precision": backbone.precision,
        "tokens": hash_array(tokens.numpy()),
        "dtype": options.cache_dtype,
    }
    place = Path(options.cache) if options.cache is not None else folder
    cache = build_cache(
        lengths,
        encode,
        width=backbone.embed_dim,
        dtype=options.cache_dtype,
        folder=place,
        key=key,
        memory_gb=0.0 if options.cache is not None else options.cache_memory_gb,
        description="Encoding captions",
        after_batch=after_batch,
    )
    return FeatureData(cache, items, labels, len(learner.classnames), CaptionFeatures, backbone.device)


def image_data(learner: Learner, features: ImageFeatures, labels: Sequence[Sequence[int]]) -> FeatureData:
    """Labelled image features as training data, for learners whose image side is frozen.

    Args:
        learner: gives class names and device.
        features: of N images, as ``learner.encode_images`` gives them.
        labels: N lists of class indices.
    """
    rows = torch.cat([features.local, features.global_[:, None]], dim=1)
    n_images, n_rows, width = rows.shape

    def encode(wanted: Ints) -> Tensor:
        return rows[torch.from_numpy(wanted).to(rows.device)].flatten(0, 1)

    def unpack(taken: Tensor, lengths: Tensor) -> ImageFeatures:
        images = taken.unflatten(0, (len(lengths), n_rows))
        return ImageFeatures(images[:, -1], images[:, :-1])

    cache = build_cache([n_rows] * n_images, encode, width=width, dtype="float32", description="Keeping image features")
    items = np.arange(n_images, dtype=np.int64)
    return FeatureData(cache, items, labels, len(learner.classnames), unpack, learner.backbone.device)


def split_validation(groups: Sequence[Hashable], fraction: float, seed: int) -> tuple[Ints, Ints]:
    """Holds out a fraction of the groups; samples of one group, such as the captions of an image, stay together.

    Returns:
        Sample numbers for training and for validation, both ascending; each has at least one group where there are two.
    """
    names = list(dict.fromkeys(groups))
    n_held = min(max(1, round(fraction * len(names))), max(0, len(names) - 1))
    order = np.random.default_rng([seed, 0x7A11D]).permutation(len(names))
    held = {names[i] for i in order[:n_held].tolist()}
    chosen = np.fromiter((group in held for group in groups), dtype=bool, count=len(groups))
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def _tokenize(learner: Learner, texts: Sequence[str]) -> Tensor:
    # Kept as int32: three quarters of a gigabyte less for a million captions.
    starts = track(range(0, len(texts), _TEXTS_PER_CALL), "Tokenising captions", unit="batches")
    parts = [learner.backbone.tokenize(texts[i : i + _TEXTS_PER_CALL], truncate=True).int() for i in starts]
    return torch.cat(parts)
