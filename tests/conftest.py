"""Fixtures for all tests: tiny deterministic CLIPs and the golden numbers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

from clipprompt.backbone import Backbone
from tests.golden import tiny_clip

GOLDEN = Path(__file__).parent / "golden"
Golden = dict[str, torch.Tensor]


def _tiny(config: str, weights: Callable[[int], dict[str, torch.Tensor]]) -> Backbone:
    cfg = json.loads((GOLDEN / config).read_text())
    model = CLIP(
        embed_dim=cfg["embed_dim"],
        vision_cfg=CLIPVisionCfg(**cfg["vision_cfg"]),
        text_cfg=CLIPTextCfg(**cfg["text_cfg"]),
        quick_gelu=cfg["quick_gelu"],
    )
    model.load_state_dict(weights(0), strict=True)
    return Backbone.from_open_clip(model, open_clip.SimpleTokenizer(), name=config.removesuffix("_open_clip.json"))


@pytest.fixture(autouse=True, scope="session")
def _no_cache_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Features that tests keep do not land in the user's cache, nor do those of the processes that they start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLIPPROMPT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def tiny_vit_backbone() -> Backbone:
    return _tiny("tiny_vit_open_clip.json", tiny_clip.tiny_vit_state_dict)


@pytest.fixture(scope="session")
def tiny_rn_backbone() -> Backbone:
    return _tiny("tiny_rn_open_clip.json", tiny_clip.tiny_rn_state_dict)


@pytest.fixture(params=["vit", "rn"])
def tiny_backbone(request: pytest.FixtureRequest) -> Backbone:
    backbone: Backbone = request.getfixturevalue(f"tiny_{request.param}_backbone")
    return backbone


@pytest.fixture(scope="session")
def golden() -> Callable[[str], Golden]:
    """Loads one file of golden numbers as tensors."""

    def load(name: str) -> Golden:
        with np.load(GOLDEN / f"{name}.npz") as file:
            return {key: torch.from_numpy(np.asarray(file[key])) for key in file.files}

    return load


@pytest.fixture(scope="session")
def inputs(golden: Callable[[str], Golden]) -> Golden:
    """The images, labels and caption tokens that all golden numbers were made from."""
    return golden("inputs")


@pytest.fixture(scope="session")
def texts() -> dict[str, list[str]]:
    """The class names, captions and templates that all golden numbers were made from."""
    loaded: dict[str, list[str]] = json.loads((GOLDEN / "inputs.json").read_text())
    return loaded


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data beside the checkout; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("CLIPPROMPT_SHARED", Path(__file__).parents[2] / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no real data at {folder} (set CLIPPROMPT_SHARED)")
    return folder


@pytest.fixture(scope="session")
def photos(shared: Path) -> list[Path]:
    """The 80 COCO photos of the real data. A damaged copy of them says nothing about us, so it is told by its bytes."""
    found = sorted((shared / "data" / "coco_mini" / "train2017").glob("*.jpg"))
    for path in found:
        content = path.read_bytes()
        if not (content.startswith(b"\xff\xd8") and content.rstrip(b"\0").endswith(b"\xff\xd9")):
            pytest.skip(f"the real data is damaged: {path.name} is no whole JPEG file")
    assert len(found) == 80
    return found


def assert_close(actual: torch.Tensor, expected: torch.Tensor, tolerance: float) -> None:
    """Asserts equality relative to the largest entry, the measure of the golden numbers' tolerances."""
    assert actual.shape == expected.shape
    difference = (actual.detach().double() - expected.double()).abs().max().item()
    assert difference <= tolerance * expected.double().abs().max().item(), f"differs by {difference:.2e}"
