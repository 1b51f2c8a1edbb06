"""How a learner sees the pictures of a run: fresh views, views that are encoded once, or as evaluation sees them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from clipprompt.config import RunConfig
from clipprompt.errors import UserError
from clipprompt.features.layouts import StateLayout
from clipprompt.learners import Learner
from clipprompt.printable import sized
from clipprompt.training.data import TrainingData
from clipprompt.training.encoded_pictures import encode_pictures
from clipprompt.training.encoded_views import encode_views
from clipprompt.training.image_data import ImageData, Pictures
from clipprompt.training.source import Say


def see(
    learner: Learner,
    train: Pictures,
    held: Pictures | None,
    config: RunConfig,
    folder: Path,
    stop: Callable[[], None],
    tell: Say = lambda _: None,
) -> tuple[TrainingData, TrainingData | None]:
    """Training data of pictures to learn from, and of those that are held out, which are never augmented.

    Args:
        learner: that will be trained.
        train: to learn from.
        held: to select an epoch by; None where none is.
        config: of the run.
        folder: for features, when the configuration names none.
        stop: called often; may raise to stop.
        tell: takes messages for people.

    Raises:
        UserError: if a picture cannot be read, or the cache cannot be written.
    """
    data, augment = config.data, config.data.augment is not None
    if not can_be_kept(learner):
        shown = partial(ImageData, learner.backbone, workers=data.workers)
        return shown(train, augment), None if held is None else shown(held, False)
    if learner.frozen_part is not None:
        tell(_describe_states(learner, train, held, config, folder))
    encode = partial(encode_pictures, learner, options=data, folder=folder, after_batch=stop)
    if is_plain(learner, config):
        learnt, *selected = encode([train] if held is None else [train, held])
        return learnt, selected[0] if selected else None
    validation = None if held is None else encode([held])[0]
    if not is_encoded_once(learner, config):
        return ImageData(learner.backbone, train, augment, data.workers), validation
    views, seed = _n_views(config), config.train.seed
    return encode_views(learner, train, data, n_views=views, seed=seed, folder=folder, after_batch=stop), validation


def can_be_kept(learner: Learner) -> bool:
    """Whether there are image features, or states of a first part of the tower, that no learnt number changes."""
    return learner.image_side_is_frozen or learner.frozen_part is not None


def is_plain(learner: Learner, config: RunConfig) -> bool:
    """Whether all pictures are encoded once, as evaluation sees them; without an epoch there is no view to take."""
    return can_be_kept(learner) and (config.data.augment is None or config.train.epochs == 0)


def is_encoded_once(learner: Learner, config: RunConfig) -> bool:
    """Whether features of the pictures are computed once: an image side that learns nothing, and a number of views."""
    return is_plain(learner, config) or (can_be_kept(learner) and config.train.views > 0)


def _describe_states(learner: Learner, train: Pictures, held: Pictures | None, config: RunConfig, folder: Path) -> str:
    """What states will take, said before they are computed."""
    data, one = config.data, StateLayout.of(learner).nbytes(config.data.cache_dtype)
    n_learnt = len(train) * (1 if is_plain(learner, config) else _n_views(config))
    n = n_learnt + (0 if held is None else len(held))
    what = f"States {learner.frozen_part}: {sized(one)} a picture as {data.cache_dtype}"
    return f"{what}, {sized(n * one)} in {data.cache or folder}, computed once" if n else f"{what}, at every step"


def describe_views(learner: Learner, config: RunConfig) -> str:
    """How the pictures are seen, for people."""
    once = is_encoded_once(learner, config)
    if config.data.augment is None or is_plain(learner, config):
        return "not augmented" + (", encoded once" if once else "")
    n_views = _n_views(config)
    views = f"{n_views} random view{'s' if n_views > 1 else ''} of each"
    return f"{views}, encoded once" if once else "a fresh view at every step"


def check_views(learner: Learner, config: RunConfig) -> None:
    """Refuses to keep features of pictures for a learner that changes them.

    Raises:
        UserError: naming the setting.
    """
    if config.train.views and not can_be_kept(learner):
        raise UserError(
            f"train.views={config.train.views} keeps features of pictures, but {learner.name} learns in the image "
            "tower, so there is nothing to keep; leave it out"
        )


def _n_views(config: RunConfig) -> int:
    """Views that are encoded: an epoch takes one of each picture, so more than epochs would not be seen."""
    return min(config.train.views, config.train.epochs)
