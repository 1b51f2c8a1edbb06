"""Labelled pictures as training data, decoded at every step: the published protocol, and for any learner.

    pictures --random view--> batches(epoch, seed) of images

``encoded_views.py`` and ``encoded_pictures.py`` have those whose features are computed once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from clipprompt.backbone import Backbone
from clipprompt.datasets import MultiLabelImages, open_image
from clipprompt.errors import UserError
from clipprompt.features.cache import Ints
from clipprompt.features.images import Opener, check_loading, image_batches
from clipprompt.mini.version import drawing_version
from clipprompt.training.data import WHOLE, Share, count_batches, epoch_batches, multi_hot
from clipprompt.training.views import draw_view


@dataclass(frozen=True)
class Pictures:
    """Some pictures of a labelled set.

    Attributes:
        images: the set.
        samples: (N,) which of it, ascending. A view depends on this number, so it does not change with the choice.
        pool: all pictures that runs of this data may see, this one or others; None for those of the set.
    """

    images: MultiLabelImages
    samples: Ints
    pool: MultiLabelImages | None = None

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def items(self) -> list[Any]:
        """What the set's ``open_item`` takes, of the N pictures."""
        return [self.images.items[sample] for sample in self.samples]

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


def view_opener(backbone: Backbone, pictures: Pictures, seed: int, epoch: int) -> Opener:
    """A sample's number to its view of an epoch, at the backbone's image size.

    Raises:
        UserError: as :func:`check_transform`.
    """
    size = view_size(backbone)
    check_transform(backbone, size)
    return lambda sample: draw_view(pictures.open_plain(sample), size, seed, epoch, sample)


def view_size(backbone: Backbone) -> tuple[int, int]:
    """Height and width of the images that a backbone takes."""
    height, width = check_loading(backbone, 1, 0).pixels(Image.new("RGB", (64, 64))).shape[1:]
    return height, width


def check_transform(backbone: Backbone, size: tuple[int, int]) -> None:
    """Checks that a backbone's transform leaves a picture of its size as it is, so that a view can be made before it.

    Raises:
        UserError: if it does not.
    """
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    kept = check_loading(backbone, 1, 0).pixels(Image.fromarray(noise)).permute(1, 2, 0)
    if kept.dtype != torch.uint8 or not np.array_equal(kept.numpy(), noise):
        raise UserError(f"backbone {backbone.name} has a transform of its own make; train with data.augment=none")


def _read(backbone: Backbone, samples: list[int], opener: Opener, batch_size: int, workers: int) -> Iterator[Tensor]:
    for batch in image_batches(backbone, samples, opener, batch_size=batch_size, workers=workers):
        for _, error in batch.unreadable:
            raise gone(error)
        yield batch.images


def gone(error: UserError) -> UserError:
    """What to say of a picture that cannot be read any more: a batch without it would teach something else."""
    return UserError(f"{error}, though it was read when the run started; put it back and start again to go on")


def drawn_by(opener: Opener) -> str:
    """What decides how an item is drawn, where that is a function with a name, or such a one with some arguments."""
    function, arguments = (opener.func, opener.keywords) if isinstance(opener, partial) else (opener, {})
    name = getattr(function, "__qualname__", "<>")
    is_named = function is not open_image and "<" not in name
    return f"{drawing_version()}, {function.__module__}.{name} {arguments}" if is_named else ""
