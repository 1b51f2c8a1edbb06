"""Features or states of random views that are computed once, for learners whose image side is frozen.

    pictures --decoded once--> N random views --trunk--> what the learner reads --cache--> epoch e: view e mod N

``encoded_pictures.py`` has pictures as evaluation sees them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from clipprompt.backbone import Backbone
from clipprompt.config import DataConfig
from clipprompt.datasets import decode_in_order
from clipprompt.errors import UserError
from clipprompt.features.cache import Ints, build_cache, hash_array
from clipprompt.features.image_cache import image_key, saying_what_to_do
from clipprompt.features.images import check_loading, encode_images, what_learners_read
from clipprompt.features.layouts import FeatureLayout, Layout, StateLayout, check_rounding
from clipprompt.learners import Learner
from clipprompt.learners._base import ImageStates
from clipprompt.training.data import FeatureData, Features, image_rows, unpack_images
from clipprompt.training.image_data import Pictures, check_transform, drawn_by, gone, view_size
from clipprompt.training.views import draw_view

_ENCODED_TOGETHER = 64
# Views that are finished, checked and written as a whole: what a kill may cost; and pictures, which threads share.
_VIEWS_PER_BLOCK, _FEWEST_PICTURES = 256, 16


def encode_views(
    learner: Learner,
    pictures: Pictures,
    options: DataConfig,
    *,
    n_views: int,
    seed: int = 0,
    folder: Path | None = None,
    after_batch: Callable[[], None] = lambda: None,
) -> FeatureData:
    """Encodes random views of pictures once, for a learner whose image side, or a first part of it, is frozen.

    Only what it reads from the trunk is kept. Where there is a folder, the features always lie on disk: a kill costs
    the last 256 views, or 16 pictures.

    Args:
        learner: whose features they are.
        pictures: N pictures.
        options: where and how the features are kept.
        n_views: of each picture, those of the first epochs; at least 1.
        seed: of the views.
        folder: for the cache, when ``options.cache`` names none.
        after_batch: called while encoding; may raise to stop.

    Raises:
        UserError: if a picture cannot be read, or the cache cannot be written.
    """
    backbone, size = learner.backbone, view_size(learner.backbone)
    check_transform(backbone, size)
    how = _how(learner, size)
    n_rows = how.n_rows

    def show(sample: int) -> list[Image.Image]:
        picture = pictures.open_plain(sample)
        return [draw_view(picture, size, seed, view, sample) for view in range(n_views)]

    def encode(items: Ints) -> Tensor:
        parts = []
        for images in _read_views(backbone, pictures.samples[items[::n_views] // n_views], show, options.workers):
            rows = how.encode(images).flatten(0, 1)
            check_rounding(rows, how.layout, options.cache_dtype)
            parts.append(rows.float().cpu())
            after_batch()
        return torch.cat(parts)

    images, samples = pictures.images, pictures.samples
    key = {
        **image_key(backbone, pictures.items, f"random views, {drawn_by(images.open_item)}", how.layout),
        "numbers": hash_array(samples),  # on which a view depends
        "wanted": how.wanted,
        "views": (n_views, seed),
        "dtype": options.cache_dtype,
    }
    rows_per_block = max(_FEWEST_PICTURES, _VIEWS_PER_BLOCK // n_views) * n_views * n_rows  # all views of some pictures
    with saying_what_to_do():
        cache = build_cache(
            [n_rows] * (len(pictures) * n_views),
            encode,
            width=how.layout.width,
            dtype=options.cache_dtype,
            folder=Path(options.cache) if options.cache is not None else folder,
            key=key,
            memory_gb=0.0,
            description="Encoding pictures",
            rows_per_batch=rows_per_block,
            rows_per_block=rows_per_block,
        )
    return FeatureData(
        cache,
        items=np.arange(len(pictures), dtype=np.int64) * n_views,
        labels=images.targets[samples],
        n_classes=len(learner.classnames),
        unpack=how.unpack,
        device=backbone.device,
        n_views=n_views,
    )


class _How(NamedTuple):
    """How a learner's rows of a view are made, and read."""

    layout: Layout
    n_rows: int
    wanted: Any
    encode: Callable[[Tensor], Tensor]
    unpack: Callable[[Tensor, Tensor], Features]


def _how(learner: Learner, size: tuple[int, int]) -> _How:
    backbone = learner.backbone
    if learner.frozen_part is not None:
        states = StateLayout.of(learner)

        def unpack_states(rows: Tensor, lengths: Tensor) -> ImageStates:
            return states.decode(rows.unflatten(0, (len(lengths), -1)))

        return _How(states, states.n_rows, states.part, partial(states.encode, backbone), unpack_states)
    wanted = what_learners_read([learner])

    def encode(images: Tensor) -> Tensor:
        return image_rows(encode_images(backbone, images, wanted).seen_by(learner))

    n_rows = encode(torch.zeros(1, 3, *size, device=backbone.device)).shape[1]
    return _How(FeatureLayout.of(backbone, wanted.places), n_rows, tuple(wanted), encode, unpack_images)


def _read_views(
    backbone: Backbone, samples: Ints, show: Callable[[int], list[Image.Image]], workers: int
) -> Iterator[Tensor]:
    """Normalised images of all views of some samples, one sample after another, about 64 at a time."""
    transform = check_loading(backbone, 1, workers)

    def decode(sample: int) -> Tensor:
        return torch.stack([transform.pixels(view).permute(1, 2, 0) for view in show(sample)])

    group, n_images = list[Tensor](), 0
    for place, (_, views) in enumerate(decode_in_order(samples.tolist(), decode, workers=workers), 1):
        if isinstance(views, UserError):
            raise gone(views)
        group.append(views)
        n_images += len(views)
        if n_images >= _ENCODED_TOGETHER or place == len(samples):
            yield transform.normalise(torch.cat(group).to(backbone.device).permute(0, 3, 1, 2))
            group, n_images = [], 0
