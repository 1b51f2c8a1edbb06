"""Labelled pictures as training data: fresh views at every step, or features of views that are computed once.

pictures --random view--> batches(epoch, seed) of images                     the published protocol; any learner
pictures --N views each, trunk--> cache --epoch e: view e mod N--> features  learners whose image side is frozen
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from clipprompt.backbone import Backbone
from clipprompt.config import DataConfig
from clipprompt.datasets import MultiLabelImages
from clipprompt.errors import UserError
from clipprompt.features.cache import Ints, build_cache, hash_array
from clipprompt.features.images import Opener, check_loading, encode_images, image_batches, what_learners_read
from clipprompt.learners import Learner
from clipprompt.training.data import (
    WHOLE,
    FeatureData,
    Share,
    count_batches,
    epoch_batches,
    image_rows,
    multi_hot,
    unpack_images,
)
from clipprompt.training.views import draw_view

_ENCODED_TOGETHER = 64
# Views that are finished, checked and written as a whole: what a kill may cost.
_VIEWS_PER_BLOCK = 256


@dataclass(frozen=True)
class Pictures:
    """Some pictures of a labelled set.

    Attributes:
        images: the set.
        samples: (N,) which of it, ascending. A view depends on this number, so it does not change with the choice.
    """

    images: MultiLabelImages
    samples: Ints

    def __len__(self) -> int:
        return len(self.samples)

    def open_plain(self, sample: int) -> Image.Image:
        """The picture of a number in the set."""
        return self.images[sample]


@dataclass(frozen=True)
class ImageData:
    """N labelled pictures, decoded whenever they are asked for. Their images are (B, 3, H, W), normalised.

    Attributes:
        backbone: gives transform and device.
        pictures: N pictures.
        augment: whether ``batches`` shows random views, or pictures as evaluation sees them.
        workers: threads that decode.
    """

    is_encoded: ClassVar[bool] = False
    backbone: Backbone
    pictures: Pictures
    augment: bool = True
    workers: int = 4

    def __len__(self) -> int:
        return len(self.pictures)

    def n_batches(self, batch_size: int) -> int:
        """Batches of an epoch. The last, smaller one is left out, unless it is the only one."""
        return count_batches(len(self), batch_size)

    def batches(
        self, epoch: int, seed: int, batch_size: int, start: int = 0, share: Share = WHOLE
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """A share of the shuffled batches of an epoch, from a batch on: images, and multi-hot labels, float32 (B, C).

        Raises:
            UserError: naming a picture that cannot be read.
        """
        opener = view_opener(self.backbone, self.pictures, seed, epoch) if self.augment else self.pictures.open_plain
        yield from self._decode(list(epoch_batches(len(self), epoch, seed, batch_size, start, share)), opener)

    def in_order(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All samples in their own order, not augmented, the last batch smaller."""
        numbers = np.arange(len(self))
        parts = [numbers[start : start + batch_size] for start in range(0, len(self), batch_size)]
        yield from self._decode(parts, self.pictures.open_plain)

    def _decode(self, parts: list[Ints], opener: Opener) -> Iterator[tuple[Tensor, Tensor]]:
        # One stream over all batches: while one is used, the next are decoded. A share may be empty, then of each.
        images, samples = self.pictures.images, self.pictures.samples
        size = max((len(part) for part in parts), default=0)
        wanted = [int(samples[number]) for part in parts for number in part]
        stream = _read(self.backbone, wanted, opener, max(1, size), self.workers)
        for part in parts:
            pixels = next(stream) if size else torch.empty(0, 3, *view_size(self.backbone), device=self.backbone.device)
            yield pixels, multi_hot(images.targets, samples[part], len(images.classnames)).to(self.backbone.device)


def cached_image_data(
    learner: Learner,
    pictures: Pictures,
    options: DataConfig,
    *,
    n_views: int = 0,
    seed: int = 0,
    folder: Path | None = None,
    after_batch: Callable[[], None] = lambda: None,
) -> FeatureData:
    """Encodes pictures once, for a learner whose image side is frozen; only what it reads from the trunk is kept.

    Where there is a folder, the features always lie on disk: a kill costs the last 256 views at most.

    Args:
        learner: whose features they are.
        pictures: N pictures.
        options: where and how the features are kept; ``fingerprint`` tells the data of other runs apart.
        n_views: random views of each picture, those of the first epochs; 0 for the picture as evaluation sees it.
        seed: of the views.
        folder: for the cache, when ``options.cache`` names none.
        after_batch: called while encoding; may raise to stop.

    Raises:
        UserError: if a picture cannot be read, or the cache cannot be written.
    """
    backbone, wanted, n_items = learner.backbone, what_learners_read([learner]), max(1, n_views)
    openers = [view_opener(backbone, pictures, seed, view) for view in range(n_views)] or [pictures.open_plain]
    size = view_size(backbone)
    black = torch.zeros(1, 3, *size, device=backbone.device)
    n_rows = image_rows(encode_images(backbone, black, wanted).seen_by(learner)).shape[1]

    def open_item(item: int) -> Image.Image:
        return openers[item % n_items](int(pictures.samples[item // n_items]))

    def encode(items: Ints) -> Tensor:
        parts = []
        for images in _read(backbone, items.tolist(), open_item, _ENCODED_TOGETHER, options.workers):
            parts.append(image_rows(encode_images(backbone, images, wanted).seen_by(learner)).flatten(0, 1).cpu())
            after_batch()
        return torch.cat(parts)

    key = {
        "kind": "views of pictures, normalised",
        "weights": backbone.fingerprint(),
        "computed": f"torch {torch.__version__} on {backbone.device.type}",
        "precision": backbone.precision,
        "transform": repr(backbone.preprocess),
        "wanted": tuple(wanted),
        "views": (n_views, seed if n_views else None),
        "pictures": (pictures.images.name, options.fingerprint, hash_array(pictures.samples)),
        "dtype": options.cache_dtype,
    }
    cache = build_cache(
        [n_rows] * (len(pictures) * n_items),
        encode,
        width=backbone.embed_dim,
        dtype=options.cache_dtype,
        folder=Path(options.cache) if options.cache is not None else folder,
        key=key,
        memory_gb=0.0,
        description="Encoding pictures",
        rows_per_batch=_VIEWS_PER_BLOCK * n_rows,
        rows_per_block=_VIEWS_PER_BLOCK * n_rows,
    )
    return FeatureData(
        cache,
        items=np.arange(len(pictures), dtype=np.int64) * n_items,
        labels=pictures.images.targets[pictures.samples],
        n_classes=len(learner.classnames),
        unpack=unpack_images,
        device=backbone.device,
        n_views=n_items,
    )


def view_opener(backbone: Backbone, pictures: Pictures, seed: int, epoch: int) -> Opener:
    """A sample's number to its view of an epoch, at the backbone's image size.

    Raises:
        UserError: if the backbone's transform would change a picture that has this size already.
    """
    size = view_size(backbone)
    transform = check_loading(backbone, 1, 0)
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    kept = transform.pixels(Image.fromarray(noise)).permute(1, 2, 0)
    if kept.dtype != torch.uint8 or not np.array_equal(kept.numpy(), noise):
        raise UserError(f"backbone {backbone.name} has a transform of its own make; train with data.augment=none")
    return lambda sample: draw_view(pictures.open_plain(sample), size, seed, epoch, sample)


def view_size(backbone: Backbone) -> tuple[int, int]:
    """Height and width of the images that a backbone takes."""
    height, width = check_loading(backbone, 1, 0).pixels(Image.new("RGB", (64, 64))).shape[1:]
    return height, width


def _read(backbone: Backbone, items: list[int], opener: Opener, batch_size: int, workers: int) -> Iterator[Tensor]:
    for batch in image_batches(backbone, items, opener, batch_size=batch_size, workers=workers):
        for _, error in batch.unreadable:  # the run has seen that all can be read; another batch would teach otherwise
            raise UserError(f"{error}, though it was read when the run started; put it back and start again to go on")
        yield batch.images
