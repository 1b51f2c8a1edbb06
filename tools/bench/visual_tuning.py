"""Tuning of a ViT-B/16 with frozen random weights: epochs on kept states, prompts in every layer, memory of gradients.

Both sides of a comparison run in turn in one process, on one thread of torch (pictures are decoded in four), so that a
machine that others use too slows down both alike; seconds are medians. Memory is what a step holds for its backward
pass, and the gradients: not the tower, which all share.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clipprompt.backbone import Backbone, load_backbone
from clipprompt.config import DataConfig, TrainConfig
from clipprompt.datasets import MultiLabelImages
from clipprompt.learners import Learner, create_learner
from clipprompt.training.checkpoint import Position
from clipprompt.training.encoded_pictures import encode_pictures
from clipprompt.training.image_data import ImageData, Pictures
from clipprompt.training.loop import Session
from tools.bench import _plain_tuning
from tools.bench._measure import Row, alternate, hold
from tools.bench.images import find_photos

ARCHITECTURE, N_CLASSES, N_PHOTOS, BATCH, WORKERS = "ViT-B-16", 10, 32, 16, 4
STEP_BATCH = 2
# Method, its options, and blocks that the plain formulation learns.
EPOCHS: tuple[tuple[str, str, dict[str, Any], int], ...] = (
    ("linear", "linear", {}, 0),
    ("partial-1", "partial", {"n_blocks": 1}, 1),
)
PROMPTS = (10, 50)
MEMORY: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("linear", "linear", {}),
    ("partial-1", "partial", {"n_blocks": 1}),
    ("bias", "bias", {}),
    ("adapter", "adapter", {}),
    ("vpt-shallow, 10 prompts", "vpt_head", {"n_ctx": 10, "depth": 1}),
    ("vpt-deep, 10 prompts", "vpt_head", {"n_ctx": 10}),
)
_EPOCHS, _STEPS = 3, 5


def rows() -> Iterator[Row]:
    """Epochs after the first, steps with prompts in every layer, and what a step holds beside one of full tuning."""
    for name, method, options, n_blocks in EPOCHS:
        with tempfile.TemporaryDirectory() as folder:
            plain, ours = alternate(partial(make_epochs, method, options, n_blocks, Path(folder)), _EPOCHS)
        yield _row(f"{name}, an epoch of {N_PHOTOS} photos after the first", plain, ours, f"batches of {BATCH}")
    for n_ctx in PROMPTS:
        plain, ours = alternate(partial(make_steps, n_ctx), _STEPS)
        title = f"vpt-deep, {n_ctx} prompts a layer, a step; plain: the bare tower with as many tokens"
        yield _row(title, plain, ours, f"{ours / plain:.2f} times the bare tower; a batch of {STEP_BATCH}")
    full = hold(partial(make_step, "full", {}))
    for name, method, options in MEMORY:
        found = hold(partial(make_step, method, options))
        note = f"gradients {_mb(found.gradients)} and activations {_mb(found.activations)}; "
        note += f"full: {_mb(full.gradients)} and {_mb(full.activations)}"
        yield Row(
            what=f"{name}, held for the gradients of {STEP_BATCH} images; plain: full",
            plain_s=None,
            ours_s=None,
            ratio=full.megabytes / found.megabytes,
            plain_mb=full.megabytes,
            ours_mb=found.megabytes,
            note=note,
        )


def _row(what: str, plain: float, ours: float, note: str) -> Row:
    return Row(what=what, plain_s=plain, ours_s=ours, ratio=plain / ours, plain_mb=None, ours_mb=None, note=note)


def make_epochs(method: str, options: dict[str, Any], n_blocks: int, folder: Path) -> tuple[Callable[[], object], ...]:
    """An epoch that decodes and runs the whole tower, and one of ours on states that are in a folder."""
    photos, _ = find_photos(folder)
    pictures = _pictures([photos[i % len(photos)] for i in range(N_PHOTOS)])
    backbone, learner = _make(method, options)
    (data,) = encode_pictures(learner, [pictures], DataConfig(workers=WORKERS), folder=folder)
    decoded = ImageData(backbone, pictures, augment=False, workers=WORKERS)
    plain = _plain_tuning.epoch(backbone, n_blocks, N_CLASSES, lambda: decoded.batches(0, 0, BATCH))
    session = Session(learner, data, TrainConfig(epochs=1, batch_size=BATCH, lr=1e-3))

    def ours() -> None:
        session.position = Position()
        for _ in session.run_epoch(0, None):
            pass

    return plain, ours


def make_steps(n_ctx: int) -> tuple[Callable[[], object], ...]:
    """Forward and backward of the bare tower with as many tokens, and of prompts in every layer."""
    backbone, learner = _make("vpt_head", {"n_ctx": n_ctx})
    images, labels = _batch(backbone)
    plain = _plain_tuning.step(backbone, n_ctx, N_CLASSES, images, labels)
    return plain, _step(learner, images, labels)


def make_step(method: str, options: dict[str, Any]) -> tuple[Callable[[], Tensor], list[Tensor], list[Tensor]]:
    """The loss of a batch, what is learnt, and the tensors that are there without it."""
    backbone, learner = _make(method, options)
    images, labels = _batch(backbone)
    shared = [*backbone.model.parameters(), *backbone.model.buffers(), *learner.parameters(), images, labels]
    return lambda: learner.loss(images, labels), list(learner.parameters()), shared


def _step(learner: Learner, images: Tensor, labels: Tensor) -> Callable[[], object]:
    def run() -> None:
        learner.zero_grad()
        learner.loss(images, labels).backward()

    return run


def _make(method: str, options: dict[str, Any]) -> tuple[Backbone, Learner]:
    torch.set_num_threads(1)
    backbone = load_backbone(ARCHITECTURE, "random", device="cpu")
    return backbone, create_learner(method, backbone, [f"thing {i}" for i in range(N_CLASSES)], **options)


def _batch(backbone: Backbone) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(STEP_BATCH, 3, backbone.image_size, backbone.image_size, generator=draw)
    return images, torch.randint(N_CLASSES, (STEP_BATCH,), generator=draw)


def _pictures(photos: list[Path]) -> Pictures:
    targets = np.eye(N_CLASSES, dtype=np.int8)[np.arange(len(photos)) % N_CLASSES]
    ids = tuple(str(number) for number in range(len(photos)))
    names = tuple(f"thing {i}" for i in range(N_CLASSES))
    return Pictures(MultiLabelImages("photos", photos, names, targets, ids), np.arange(len(photos)))


def _mb(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.3g} MB"
