r"""Embeddings of pictures without and with what was learnt, and how far they tell classes apart.

picture --frozen tower--------------> (n, W)  --t-SNE--> (n, 2)      the same head reads both: before the classes
        \--tower with what was learnt> (n, W) --t-SNE--> (n, 2)      (VPT, arXiv 2203.12119, Figure 8)

Numbers are of the embeddings themselves; t-SNE keeps who is near, and neither distances nor sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from clipprompt.errors import UserError
from clipprompt.features.images import image_batches
from clipprompt.learners import HeadLearner, ImageFeatures, ImageStates, Learner

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
N_NEIGHBOURS = 5
_PERPLEXITY = 30.0
_TOWERS_OWN = ("own", "class", "image")
"""What is pooled without prompts, too."""


class Pair(NamedTuple):
    """Embeddings (n, W) without and with what was learnt; the widths may differ."""

    without: Floats
    with_: Floats


@dataclass(frozen=True)
class Embedded:
    """Pictures that could be read.

    Attributes:
        pair: their embeddings.
        kept: which of the items they are.
        skipped: what is wrong with the others.
    """

    pair: Pair
    kept: list[int]
    skipped: list[UserError]


class Separation(NamedTuple):
    """How far embeddings tell classes apart.

    Attributes:
        neighbours: in 0..1, pictures whose class most of their five nearest others have.
        silhouette: in -1..1: how much nearer its own class is than the next one, by Euclidean distance; None where
            there is one class, or every picture has its own.
    """

    neighbours: float
    silhouette: float | None


def embed_pictures(
    learner: Learner,
    items: Sequence[Any],
    open_item: Callable[[Any], Image.Image],
    *,
    batch_size: int = 64,
    workers: int = 4,
) -> Embedded:
    """Embeds pictures as the frozen tower does, and as the learner does.

    Args:
        learner: one that changes the embeddings of pictures.
        items: what ``open_item`` opens.
        open_item: gives an upright RGB picture.
        batch_size: pictures that are encoded together.
        workers: threads that decode.

    Raises:
        UserError: if the learner changes none, or no picture can be read.
    """
    check_embeds(learner)
    parts: list[tuple[Floats, Floats]] = []
    kept, skipped = list[int](), list[UserError]()
    numbered = list(enumerate(items))
    batches = image_batches(
        learner.backbone, numbered, lambda one: open_item(one[1]), batch_size=batch_size, workers=workers
    )
    for batch in batches:
        skipped += [error for _, error in batch.unreadable]
        if batch.items:
            parts.append(_embed(learner, batch.images))
            kept += [number for number, _ in batch.items]
    if not parts:
        raise UserError(f"none of the {len(items)} pictures can be read, such as: {skipped[0]}")
    without, with_ = (np.concatenate(side) for side in zip(*parts, strict=True))
    if without.shape == with_.shape and np.array_equal(without, with_):
        raise UserError(f"this {learner.name} leaves the embeddings of pictures as they are: nothing to compare")
    return Embedded(Pair(without, with_), kept, skipped)


def check_embeds(learner: Learner) -> None:
    """Refuses what cannot change an embedding, before any picture is read.

    Raises:
        UserError: for a learner whose image side is frozen.
    """
    if learner.image_side_is_frozen and not hasattr(learner, "adapted_features"):
        raise UserError(
            f"{learner.name} learns nothing of the image side: embeddings of pictures are the frozen tower's, "
            "and there is nothing to compare"
        )


@torch.no_grad()
def _embed(learner: Learner, images: Tensor) -> tuple[Floats, Floats]:
    return _frozen(learner, images).float().cpu().numpy(), _learnt(learner, images).float().cpu().numpy()


def _frozen(learner: Learner, images: Tensor) -> Tensor:
    """Of the tower as it is: before the head, or before the cosines."""
    if not isinstance(learner, HeadLearner):
        return learner.frozen_features(images).global_
    tower, pool = learner.backbone.vision, learner.options.pool
    images = images.to(learner.backbone.device)
    return tower.final(tower.trunk(images), pool if pool in _TOWERS_OWN else "own")


def _learnt(learner: Any, images: Tensor) -> Tensor:
    features = learner.encode_images(images)
    if isinstance(features, ImageStates):
        feature: Tensor = learner.states_to_feature(features)
        return feature
    assert isinstance(features, ImageFeatures)
    return features.global_ if not hasattr(learner, "adapted_features") else learner.adapted_features(features)


def to_plane(features: Floats, *, seed: int, perplexity: float | None = None) -> Floats:
    """The features (n, W) in two dimensions (n, 2), by t-SNE (van der Maaten and Hinton 2008) from their PCA.

    Args:
        features: of at least four pictures.
        seed: of the solver.
        perplexity: how many neighbours a picture about has; 30 by default, or a third of a small number of pictures.

    Raises:
        UserError: for too few pictures.
    """
    n = len(features)
    if n < 4:
        raise UserError(f"{n} pictures are too few for a map of embeddings; give at least 4")
    if perplexity is not None and not 1 <= perplexity < n:
        raise UserError(f"perplexity {perplexity:g} is impossible for {n} pictures: from 1 to {n - 1}")
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    chosen = min(_PERPLEXITY, (n - 1) / 3) if perplexity is None else perplexity
    solver = TSNE(init="pca", learning_rate="auto", perplexity=chosen, random_state=seed)
    with threadpool_limits(1):  # sums in one order, so that a seed has one map
        plane = solver.fit_transform(features)
    return np.asarray(plane, dtype=np.float32)


def separation(features: Floats, labels: Labels) -> Separation:
    """How far features (n, W) tell classes apart.

    Args:
        features: embeddings, not their map.
        labels: (n,).
    """
    from sklearn.metrics import silhouette_score

    n_classes = len(np.unique(labels))
    has_silhouette = 1 < n_classes < len(labels)
    silhouette = float(silhouette_score(features, labels)) if has_silhouette else None
    return Separation(_neighbours(features, labels), silhouette)


def _neighbours(features: Floats, labels: Labels) -> float:
    """Accuracy of the most common class among the nearest others; of equally common ones the nearer one's."""
    from sklearn.neighbors import NearestNeighbors

    k = min(N_NEIGHBOURS, len(labels) - 1)
    nearest = NearestNeighbors(n_neighbors=k).fit(features).kneighbors(return_distance=False)
    of_nearest = labels[nearest]
    counts = (of_nearest[:, :, None] == of_nearest[:, None, :]).sum(axis=2)
    return float(np.mean(of_nearest[np.arange(len(labels)), counts.argmax(axis=1)] == labels))
