"""One training step of every method, forward and backward: the plain formulation against ours, time and memory.

Fresh rows encode augmented images anew in every step; cached rows take image features that were computed before, which
is the same mathematics where no prompt can change them. The ViT-B/16 has QuickGELU, as OpenAI's weights have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from clipprompt.backbone import load_backbone
from clipprompt.learners import Learner, create_learner
from tools.bench._measure import DEVICE, Measured, Row, measure, row
from tools.bench._plain import plain_loss, plain_step_in_parts

ARCHITECTURE = "ViT-B-16-quickgelu"
# Classes whose activations the plain formulation holds: 500 would take more than twenty gigabytes.
PLAIN_AT_ONCE = 100
# Method, classes, batch, and whether the plain formulation is measured too. At 1,000 classes ours alone.
SETTINGS = (
    ("coop", 100, 32, True),
    ("cocoop", 50, 4, True),
    ("vpt", 50, 4, True),
    ("ivlp", 50, 4, True),
    ("maple", 50, 4, True),
    ("maple", 500, 4, True),
    ("promptsrc", 50, 4, True),
    ("coop", 1000, 4, False),
    ("cocoop", 1000, 4, False),
    ("maple", 1000, 4, False),
)
_THINGS = (
    "cat,traffic light,hot dog,plant,air balloon,wine glass,panda,sofa,bus,tree frog,chair,fire engine,lizard,teapot,"
    "shark,violin,sea lion,pizza,truck,baseball bat"
)
_KINDS = (
    "red wooden small African striped old green American giant white modern spotted black plastic wild folding long "
    "electric yellow paper common northern desert glass silver garden winter double flying royal dark river stone "
    "marine blue mountain iron pocket rock night snow tiger forest horned tall round city crested island"
)
_REPEATS_PLAIN, _REPEATS_OURS = 3, 5


def rows() -> Iterator[Row]:
    """A row for fresh images, and one for cached features where the image side is frozen."""
    for name, n_classes, batch, with_plain in SETTINGS:
        what, setting = f"{name}, {n_classes:,} classes, batch {batch}", (name, n_classes, batch)
        plain = measure(partial(make_plain, *setting), _REPEATS_PLAIN) if with_plain else None
        fresh = measure(partial(make_fresh, *setting), _REPEATS_OURS if with_plain else 1)
        yield row(f"{what}, fresh images", plain, fresh, _note(n_classes, plain, fresh))
        if name in ("coop", "cocoop"):
            cached = measure(partial(make_cached, *setting), _REPEATS_OURS if with_plain else 1)
            yield row(f"{what}, cached features", plain, cached, _note(n_classes, plain, cached))


def make_plain(name: str, n_classes: int, batch: int) -> Callable[[], object]:
    """All positions of all classes, and the image tower."""
    learner, images, labels = _setting(name, n_classes, batch)
    if n_classes > PLAIN_AT_ONCE:
        step = plain_step_in_parts(learner, PLAIN_AT_ONCE)
        return lambda: step(images, labels)
    loss = plain_loss(learner)
    return lambda: loss(images, labels).backward()


def make_fresh(name: str, n_classes: int, batch: int) -> Callable[[], object]:
    """The learner on images."""
    learner, images, labels = _setting(name, n_classes, batch)
    return lambda: learner.loss(images, labels).backward()


def make_cached(name: str, n_classes: int, batch: int) -> Callable[[], object]:
    """The learner on image features that were computed once."""
    learner, images, labels = _setting(name, n_classes, batch)
    features = learner.encode_images(images)
    return lambda: learner.loss_from(features, labels).backward()


def class_names(n: int) -> list[str]:
    """Up to 1,000 different names of one to three words, as class lists have them: two to three tokens each."""
    things = _THINGS.split(",")
    return [*things, *(f"{kind} {thing}" for kind in _KINDS.split() for thing in things)][:n]


def _note(n_classes: int, plain: Measured | None, ours: Measured) -> str:
    if plain is None:
        return ""
    if n_classes > PLAIN_AT_ONCE:
        return f"plain: {PLAIN_AT_ONCE} classes at a time, forward and backward, for all at once do not fit into memory"
    return f"{plain.megabytes / ours.megabytes:.1f} × less memory"


def _setting(name: str, n_classes: int, batch: int) -> tuple[Learner, Tensor, Tensor]:
    backbone = load_backbone(ARCHITECTURE, "random", device=DEVICE)
    learner = create_learner(name, backbone, class_names(n_classes))
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(batch, 3, backbone.image_size, backbone.image_size, generator=draw)
    labels = torch.randint(n_classes, (batch,), generator=draw)
    return learner, images.to(backbone.device), labels.to(backbone.device)
