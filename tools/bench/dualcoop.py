"""A step of prompts in pairs on 448-pixel images, forward and backward: the plain formulation against ours.

Fresh rows encode augmented images in every step; cached rows take the regions of images that are not augmented, float16
as a run's cache keeps them. The RN50 has QuickGELU, as OpenAI's weights have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from clipprompt.backbone import load_backbone
from clipprompt.learners import Learner, create_learner
from clipprompt.learners._base import ImageFeatures
from tools.bench._measure import Measured, Row, measure, row
from tools.bench._plain_pairs import pair_loss
from tools.bench.learners import class_names

ARCHITECTURE, IMAGE_SIZE, N_CLASSES, N_CTX, BATCH = "RN50-quickgelu", 448, 80, 16, 8
# Method, and whether each class has contexts of its own.
SETTINGS = (("dualcoop", True), ("dualcoop", False), ("caption_dual", True))
_REPEATS_PLAIN, _REPEATS_OURS = 3, 5


def rows() -> Iterator[Row]:
    """A row for fresh images and one for cached regions."""
    for setting in SETTINGS:
        contexts = f"{N_CTX} {'class-specific' if setting[1] else 'shared'} contexts"
        what = f"{setting[0]}, RN50, {IMAGE_SIZE} px, {N_CLASSES} classes, {contexts}, batch {BATCH}"
        plain = measure(partial(make_plain, *setting), _REPEATS_PLAIN)
        for kind, make in (("fresh images", make_fresh), ("cached regions", make_cached)):
            ours = measure(partial(make, *setting), _REPEATS_OURS)
            yield row(f"{what}, {kind}", plain, ours, _note(plain, ours))


def make_plain(name: str, class_specific: bool) -> Callable[[], object]:
    """Two prompts of every class at all positions, and the image tower."""
    learner, images, labels = _setting(name, class_specific)
    loss = pair_loss(learner)
    return lambda: loss(images, labels).backward()


def make_fresh(name: str, class_specific: bool) -> Callable[[], object]:
    """The learner on images."""
    learner, images, labels = _setting(name, class_specific)
    return lambda: learner.loss(images, labels).backward()


def make_cached(name: str, class_specific: bool) -> Callable[[], object]:
    """The learner on regions that were computed once."""
    learner, images, labels = _setting(name, class_specific)
    whole, regions, _ = learner.frozen_features(images)
    kept = whole.half(), regions.half()
    return lambda: learner.loss_from(ImageFeatures(*(part.float() for part in kept)), labels).backward()


def _setting(name: str, class_specific: bool) -> tuple[Learner, Tensor, Tensor]:
    backbone = load_backbone(ARCHITECTURE, "random", device="cpu", image_size=IMAGE_SIZE)
    learner = create_learner(name, backbone, class_names(N_CLASSES), n_ctx=N_CTX, class_specific=class_specific)
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(BATCH, 3, IMAGE_SIZE, IMAGE_SIZE, generator=draw)
    return learner, images, torch.randint(-1, 2, (BATCH, N_CLASSES), generator=draw)


def _note(plain: Measured, ours: Measured) -> str:
    return f"{plain.megabytes / ours.megabytes:.1f} × less memory"
