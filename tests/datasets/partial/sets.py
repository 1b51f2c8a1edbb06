"""Multi-label sets without pictures, for draws and label files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clipprompt.datasets.images import MultiLabelImages


def random_set(n_images: int, n_classes: int, n_present: float = 2.0, seed: int = 0) -> MultiLabelImages:
    """Pictures with about ``n_present`` classes each, some with none, and a few labels that nobody knows."""
    rng = np.random.default_rng(seed)
    drawn = rng.random((n_images, n_classes))
    targets = (drawn < n_present / n_classes).astype(np.int8)
    targets[drawn > 0.98] = -1
    return make_set(targets.tolist(), [f"class {index}" for index in range(n_classes)])


def make_set(targets: Sequence[Sequence[int]], classnames: Sequence[str], name: str = "photos") -> MultiLabelImages:
    paths = [f"{row:06d}.jpg" for row in range(len(targets))]
    array = np.array(targets, dtype=np.int8)
    return MultiLabelImages(name, [Path("nowhere", path) for path in paths], tuple(classnames), array, tuple(paths))
