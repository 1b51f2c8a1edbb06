"""A tiny CLIP in open_clip's folder format, and a small set of noise pictures with labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

from clipprompt.backbone import Backbone, load_backbone
from clipprompt.datasets import MultiLabelImages, load_labels
from tests.conftest import GOLDEN
from tests.golden import tiny_clip

CLASSES = ("cat", "red bus", "tree")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder that ``--backbone`` takes."""
    folder = tmp_path_factory.mktemp("tiny_clip")
    model = json.loads((GOLDEN / "tiny_rn_open_clip.json").read_text())
    model["vision_cfg"]["patch_size"] = None
    scale = {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28]}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model, "preprocess_cfg": scale}))
    save_file(tiny_clip.tiny_rn_state_dict(0), folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture(scope="session")
def backbone(tiny_folder: Path) -> Backbone:
    return load_backbone(str(tiny_folder), device="cpu")


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """labels.csv beside seven pictures of several sizes; one label is unknown."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    lines = ["path," + ",".join(CLASSES)]
    for index in range(7):
        noise = rng.integers(0, 255, (4 + index, 9 - index, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((150, 130)).save(folder / f"{index}.png")
        lines.append(f"{index}.png,{index % 2},{int(index < 3)},{-1 if index == 5 else int(index > 4)}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder / "labels.csv"


@pytest.fixture(scope="session")
def pictures(table: Path) -> MultiLabelImages:
    return load_labels(table)
