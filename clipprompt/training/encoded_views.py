"""Features of views that are computed once, for learners whose image side is frozen.

    pictures --decoded once--> N random views --trunk--> what the learner reads --cache--> epoch e: view e mod N

Without a number of views it is the picture as evaluation sees it, for validation and for training without augmentation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from clipprompt.backbone import Backbone
from clipprompt.config import DataConfig
from clipprompt.datasets import decode_in_order
from clipprompt.errors import UserError
from clipprompt.features.cache import Ints, build_cache, hash_array
from clipprompt.features.images import check_loading, encode_images, what_learners_read
from clipprompt.learners import Learner
from clipprompt.training.data import FeatureData, image_rows, unpack_images
from clipprompt.training.image_data import Pictures, check_transform, gone, view_size
from clipprompt.training.views import draw_view

_ENCODED_TOGETHER = 64
# Views that are finished, checked and written as a whole: what a kill may cost; and pictures, which threads share.
_VIEWS_PER_BLOCK, _FEWEST_PICTURES = 256, 16


def encode_views(
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

    Where there is a folder, the features always lie on disk: a kill costs the last 256 views, or 16 pictures.

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
    show = _views_of_each(backbone, pictures, n_views, seed)
    black = torch.zeros(1, 3, *view_size(backbone), device=backbone.device)
    n_rows = image_rows(encode_images(backbone, black, wanted).seen_by(learner)).shape[1]

    def encode(items: Ints) -> Tensor:
        parts = []
        for images in _read_views(backbone, pictures.samples[items[::n_items] // n_items], show, options.workers):
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
    rows_per_block = max(_FEWEST_PICTURES, _VIEWS_PER_BLOCK // n_items) * n_items * n_rows  # all views of some pictures
    cache = build_cache(
        [n_rows] * (len(pictures) * n_items),
        encode,
        width=backbone.embed_dim,
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
        items=np.arange(len(pictures), dtype=np.int64) * n_items,
        labels=pictures.images.targets[pictures.samples],
        n_classes=len(learner.classnames),
        unpack=unpack_images,
        device=backbone.device,
        n_views=n_items,
    )


def _views_of_each(
    backbone: Backbone, pictures: Pictures, n_views: int, seed: int
) -> Callable[[int], list[Image.Image]]:
    """A sample's number to its views, from one decoding; to the picture itself where no view is wanted."""
    if n_views == 0:
        return lambda sample: [pictures.open_plain(sample)]
    size = view_size(backbone)
    check_transform(backbone, size)

    def show(sample: int) -> list[Image.Image]:
        picture = pictures.open_plain(sample)
        return [draw_view(picture, size, seed, view, sample) for view in range(n_views)]

    return show


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
