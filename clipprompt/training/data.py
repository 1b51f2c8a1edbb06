"""What a learner is trained on, in batches; here, cached features with labels. Pictures are in ``image_data.py``.

    captions --unique--> tokens --length--> cache (encoded once) --batches(epoch, seed)--> (features, multi-hot labels)

The order of the batches depends on the seed and the epoch alone, so a run can be cut off and gone on with anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from clipprompt.config import DataConfig
from clipprompt.features.cache import Ints, build_cache, hash_array
from clipprompt.learners import CaptionFeatures, ImageFeatures, Learner
from clipprompt.progress import track

_TEXTS_PER_CALL = 4096
_HELD_OUT = 0x7A11D  # other draws of the same seed are the order of the batches
Features = Any
"""``CaptionFeatures`` or ``ImageFeatures``: what the learner's ``loss_from`` takes."""
Labels = Sequence[Sequence[int]] | npt.NDArray[np.int8]
"""N lists of the classes that are present, or (N, C) of 1 present, 0 absent, -1 unknown."""


class Share(NamedTuple):
    """The part of each batch that is one process's; the parts differ by one sample at most."""

    rank: int = 0
    of: int = 1

    def pick(self, samples: Ints) -> Ints:
        """This part of a batch's samples; none where there are fewer samples than processes."""
        return np.array_split(samples, self.of)[self.rank]


WHOLE = Share()


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

    def batches(
        self, epoch: int, seed: int, batch_size: int, start: int = 0, share: Share = WHOLE
    ) -> Iterator[tuple[Any, Tensor]]:
        """A share of the shuffled batches of an epoch, from a batch on: inputs and multi-hot labels (B, C)."""

    def in_order(self, batch_size: int) -> Iterator[tuple[Any, Tensor]]:
        """All samples in their own order, not augmented, the last batch smaller."""


def count_batches(n_samples: int, batch_size: int) -> int:
    """Batches of an epoch. The last, smaller one is left out, unless it is the only one."""
    return max(1, n_samples // batch_size)


def epoch_batches(
    n_samples: int, epoch: int, seed: int, batch_size: int, start: int = 0, share: Share = WHOLE
) -> Iterator[Ints]:
    """The sample numbers of an epoch's batches: a permutation, cut into pieces.

    Args:
        n_samples: N.
        epoch: counted from 0; every epoch has an order of its own.
        seed: of the orders.
        batch_size: samples of a batch.
        start: batches to leave out, because they are done.
        share: of each batch; a small batch may have none for it.
    """
    order = np.random.default_rng([seed, epoch]).permutation(n_samples)
    for number in range(start, count_batches(n_samples, batch_size)):
        # Sorted: a mean over the batch has no order, and a disk is read from left to right.
        yield share.pick(np.sort(order[number * batch_size : (number + 1) * batch_size]))


def multi_hot(labels: Labels, samples: Ints, n_classes: int) -> Tensor:
    """The labels of some samples, float32 (B, C)."""
    if isinstance(labels, np.ndarray):
        return torch.from_numpy(labels[samples]).float()
    rows = torch.zeros(len(samples), n_classes)
    for row, sample in enumerate(samples.tolist()):
        rows[row, list(labels[sample])] = 1.0
    return rows


class Kept(Protocol):
    """Features that were computed once: a ``FeatureCache`` of runs of rows, or ``ImageRows``."""

    @property
    def nbytes(self) -> int:
        """Size of all rows."""

    @property
    def is_on_disk(self) -> bool:
        """Whether they are memory-mapped."""

    def take(self, items: Ints) -> tuple[Tensor, Tensor]:
        """Rows (T, E) of some items, as they are kept, and the number of rows of each, (B,)."""


@dataclass(frozen=True)
class FeatureData:
    """N samples: each an item of a cache, with labels.

    Attributes:
        cache: the features of the items, as they are kept. Equal captions share one item.
        items: (N,) the item of each sample, or the first of its views.
        labels: of the samples.
        n_classes: C.
        unpack: rows (T, E) and lengths (B,), on the device, to the float32 features that the learner takes.
        device: where batches go.
        n_views: items of each sample, one behind the other, which the epochs take in turn.
    """

    is_encoded: ClassVar[bool] = True
    cache: Kept
    items: Ints
    labels: Labels
    n_classes: int
    unpack: Callable[[Tensor, Tensor], Features]
    device: torch.device
    n_views: int = 1

    def __len__(self) -> int:
        return len(self.items)

    def n_batches(self, batch_size: int) -> int:
        """Batches of an epoch. The last, smaller one is left out, unless it is the only one."""
        return count_batches(len(self), batch_size)

    def batches(
        self, epoch: int, seed: int, batch_size: int, start: int = 0, share: Share = WHOLE
    ) -> Iterator[tuple[Features, Tensor]]:
        """A share of the shuffled batches of an epoch: features, and multi-hot labels, float32 (B, C)."""
        for samples in epoch_batches(len(self), epoch, seed, batch_size, start, share):
            yield self.take(samples, epoch % self.n_views)

    def in_order(self, batch_size: int) -> Iterator[tuple[Features, Tensor]]:
        """All samples, in their own order; of several views the first."""
        for start in range(0, len(self), batch_size):
            yield self.take(np.arange(start, min(start + batch_size, len(self))))

    def take(self, samples: Ints, view: int = 0) -> tuple[Features, Tensor]:
        """Features and multi-hot labels (B, C) of some samples."""
        rows, lengths = self.cache.take(self.items[samples] + view)
        labels = multi_hot(self.labels, samples, self.n_classes)
        features = self.unpack(rows.to(self.device), lengths.to(self.device))
        return features, labels.to(self.device)

    def subset(self, samples: Ints) -> FeatureData:
        """Some of the samples, on the same cache."""
        labels = self.labels
        some = labels[samples] if isinstance(labels, np.ndarray) else [labels[i] for i in samples.tolist()]
        return replace(self, items=self.items[samples], labels=some)


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
    return FeatureData(cache, items, labels, len(learner.classnames), unpack_captions, backbone.device)


def image_data(learner: Learner, features: ImageFeatures, labels: Labels) -> FeatureData:
    """Labelled image features as training data, for learners whose image side is frozen.

    Args:
        learner: gives class names and device.
        features: of N images, as ``learner.encode_images`` gives them.
        labels: of the images.
    """
    rows = image_rows(features)
    n_images, n_rows, width = rows.shape

    def encode(wanted: Ints) -> Tensor:
        return rows[torch.from_numpy(wanted).to(rows.device)].flatten(0, 1)

    cache = build_cache([n_rows] * n_images, encode, width=width, dtype="float32", description="Keeping image features")
    items = np.arange(n_images, dtype=np.int64)
    return FeatureData(cache, items, labels, len(learner.classnames), unpack_images, learner.backbone.device)


def unpack_captions(rows: Tensor, lengths: Tensor) -> CaptionFeatures:
    """Rows of B captions, one caption after another, as features."""
    return CaptionFeatures(rows.float(), lengths)


def image_rows(features: ImageFeatures) -> Tensor:
    """Features of B images as rows of a cache, (B, P + 1, E): places first, then the whole."""
    whole = features.global_[:, None]
    return torch.cat([features.local, whole], dim=1) if features.local.shape[1] else whole


def unpack_images(rows: Tensor, lengths: Tensor) -> ImageFeatures:
    """The reverse: rows of B images, one image after another, as features."""
    images = rows.float().unflatten(0, (len(lengths), -1))
    return ImageFeatures(images[:, -1], images[:, :-1])


def split_validation(groups: Sequence[Hashable], fraction: float, seed: int) -> tuple[Ints, Ints]:
    """Holds out a fraction of the groups; samples of one group, such as the captions of an image, stay together.

    Returns:
        Sample numbers for training and for validation, both ascending; each has at least one group where there are two.
    """
    names = list(dict.fromkeys(groups))
    order = np.random.default_rng([seed, _HELD_OUT]).permutation(len(names))
    held = {names[i] for i in order[: _n_held(len(names), fraction)].tolist()}
    chosen = np.fromiter((group in held for group in groups), dtype=bool, count=len(groups))
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def split_by_class(classes: Sequence[int], fraction: float, seed: int) -> tuple[Ints, Ints]:
    """As ``split_validation`` with every sample a group, of each class its part; one alone in its class is trained on.

    Args:
        classes: (N,) the one class of each sample.
        fraction: to hold out.
        seed: of the choice.
    """
    numbers = np.asarray(classes)
    random, chosen = np.random.default_rng([seed, _HELD_OUT]), np.zeros(len(numbers), dtype=bool)
    for one in np.unique(numbers):
        members = random.permutation(np.flatnonzero(numbers == one))
        chosen[members[: _n_held(len(members), fraction)]] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def _n_held(n_samples: int, fraction: float) -> int:
    return min(max(1, round(fraction * n_samples)), max(0, n_samples - 1))


def _tokenize(learner: Learner, texts: Sequence[str]) -> Tensor:
    # Kept as int32: three quarters of a gigabyte less for a million captions.
    starts = track(range(0, len(texts), _TEXTS_PER_CALL), "Tokenising captions", unit="batches")
    parts = [learner.backbone.tokenize(texts[i : i + _TEXTS_PER_CALL], truncate=True).int() for i in starts]
    return torch.cat(parts)
