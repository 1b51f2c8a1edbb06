"""Features or states of pictures as evaluation sees them, encoded once, for learners whose image side is frozen.

    all pictures that runs of this data may see --ImageRows--> one entry <-- rows of those that this run learns from
                                                                         <-- rows of those that it holds out

What is in the entry does not depend on labels, draws, seeds or the method, but for which places it reads: with
``data.cache``, all runs of a sweep share it, and each encodes what those before it had no use for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from clipprompt.backbone import Backbone
from clipprompt.config import DataConfig
from clipprompt.datasets import MultiLabelImages, open_image
from clipprompt.features.image_cache import ImageCache
from clipprompt.features.image_rows import AfterBatch, ImageRows
from clipprompt.features.images import what_learners_read
from clipprompt.features.layouts import StateLayout
from clipprompt.features.shared import ImageMemory, shared_features
from clipprompt.learners import ImageFeatures, Learner
from clipprompt.training.data import FeatureData
from clipprompt.training.image_data import Pictures, drawn_by, gone

Bools = npt.NDArray[np.bool_]


def encode_pictures(
    learner: Learner,
    parts: Sequence[Pictures],
    options: DataConfig,
    *,
    folder: Path | None = None,
    after_batch: AfterBatch = lambda: None,
) -> list[FeatureData]:
    """Encodes pictures once, for a learner whose image side, or a first part of it, is frozen.

    Args:
        learner: whose features or states they are; only what it reads from the trunk is kept.
        parts: such as what is learnt from and what is held out. Those of one pool, or of one set, have one entry.
        options: where and how the features are kept.
        folder: for an entry of this run alone, when ``options.cache`` names no folder. None: in memory.
        after_batch: called while encoding; may raise to stop.

    Returns:
        Data of each part.

    Raises:
        UserError: if a picture cannot be read, or the cache cannot be written.
    """
    entries = [_entry_of(learner, part) for part in parts]
    rows = {}
    for key, entry in {id(entry): entry for entry in entries}.items():
        wanted = [item for part, its in zip(parts, entries, strict=True) if its is entry for item in part.items]
        rows[key] = _encode(learner, entry, wanted, options, folder, after_batch)
    return [_data(learner, rows[id(entry)], part) for part, entry in zip(parts, entries, strict=True)]


def shared_for(
    learners: Sequence[Learner], pool: MultiLabelImages, wanted: Sequence[Any], options: DataConfig
) -> list[ImageRows | None]:
    """For each of several learners, the entry of the shared cache that its training would read.

    One that answers without places finds its pooled features in the entry of another.

    Args:
        learners: of one backbone.
        pool: all pictures of the entry.
        wanted: items of those that are encoded, if nobody has done so before.
        options: where and how the features are kept.

    Returns:
        None for a learner whose image side is learnt, and for all of them where nothing is shared.
    """
    own = [_kept_for(one, own_branch=True) for one in learners]
    lent = next((kept for kept in own if isinstance(kept, tuple) and kept), ())
    return [
        None if kept is None else _shared(one.backbone, lent if kept == () else kept, pool, wanted, options)
        for one, kept in zip(learners, own, strict=True)
    ]


def pool_of(part: Pictures) -> MultiLabelImages:
    """All pictures of the entry that some of them are encoded into."""
    return part.pool or part.images


def encoded_before(learner: Learner, pictures: Pictures, options: DataConfig) -> Bools:
    """Which of N pictures lie in the shared cache already; they can be read."""
    rows = _shared(learner.backbone, _kept_by(learner), _entry_of(learner, pictures), [], options)
    if rows is None:
        return np.zeros(len(pictures), dtype=bool)
    places = rows.places_of(pictures.items)
    return ~np.isin(places, rows.missing(places))


def _entry_of(learner: Learner, part: Pictures) -> MultiLabelImages:
    """All pictures of the entry; of states of all tokens, those alone of which room is told and taken."""
    kept = _kept_by(learner)
    return part.images if isinstance(kept, StateLayout) and kept.n_rows > 1 else pool_of(part)


Kept = tuple[bool, ...] | StateLayout
"""Features with some ways of reading places, or states."""


def _kept_for(learner: Learner, *, own_branch: bool = False) -> Kept | None:
    """What can be kept for a learner; None where it learns from the pixels on."""
    if learner.frozen_part is not None:
        return StateLayout.of(learner)
    return what_learners_read([learner], own_branch=own_branch).places if learner.image_side_is_frozen else None


def _kept_by(learner: Learner) -> Kept:
    kept = _kept_for(learner)
    assert kept is not None
    return kept


def _encode(
    learner: Learner,
    pool: MultiLabelImages,
    wanted: Sequence[Any],
    options: DataConfig,
    folder: Path | None,
    after_batch: AfterBatch,
) -> ImageRows:
    rows = _shared(learner.backbone, _kept_by(learner), pool, wanted, options, after_batch)
    if rows is None:
        rows = _of_one_run(learner, pool, wanted, options, folder)
        rows.fill(workers=options.workers, after_batch=after_batch)
    lost = dict(rows.unreadable())
    for place in rows.places_of(wanted) if lost else ():
        if place in lost:
            raise gone(lost[place])
    return rows


def _shared(
    backbone: Backbone,
    kept: Kept,
    pool: MultiLabelImages,
    wanted: Sequence[Any],
    options: DataConfig,
    after_batch: AfterBatch = lambda: None,
) -> ImageRows | None:
    """Rows in the folder that runs share; None where there is none, or what draws the pictures has no name."""
    how = drawn_by(pool.open_item)
    if options.cache is None or not (how or pool.open_item is open_image):
        return None
    return shared_features(
        backbone,
        pool.items,
        pool.open_item,
        kept,
        wanted=wanted,
        cache=Path(options.cache),
        dtype=options.cache_dtype,
        drawn_by=how,
        workers=options.workers,
        after_batch=after_batch,
    )


def _of_one_run(
    learner: Learner, pool: MultiLabelImages, wanted: Sequence[Any], options: DataConfig, folder: Path | None
) -> ImageRows:
    kept = _kept_by(learner)
    if folder is None:
        return ImageMemory(learner.backbone, wanted, pool.open_item, kept)
    is_rounded = options.cache_dtype == "float16"
    return ImageCache(learner.backbone, wanted, pool.open_item, folder, pool.name, kept, is_rounded)


def _data(learner: Learner, rows: ImageRows, part: Pictures) -> FeatureData:
    def unpack(taken: Tensor, lengths: Tensor) -> ImageFeatures:
        return rows.unpack(taken, lengths).seen_by(learner)

    states = learner.frozen_part is not None

    return FeatureData(
        rows,
        items=np.array(rows.places_of(part.items), dtype=np.int64),
        labels=part.images.targets[part.samples],
        n_classes=len(learner.classnames),
        unpack=rows.unpack_states if states else unpack,
        device=learner.backbone.device,
    )
