"""A tiny CLIP with a transform, and seven pictures on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.evaluation.conftest import backbone, tiny_folder

__all__ = ["backbone", "tiny_folder"]


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = [tmp_path / "pictures" / f"{index}.jpg" for index in range(7)]
    paths[0].parent.mkdir()
    for path in paths:
        Image.fromarray(rng.integers(0, 255, (5, 7, 3), dtype=np.uint8)).resize((160, 140)).save(path)
    return paths
