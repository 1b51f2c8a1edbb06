"""The line that says what a task costs beside its backbone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from clipprompt.backbone import Backbone
from clipprompt.learners import create_learner
from clipprompt.printable import sized
from clipprompt.training._sizes import describe_sizes


@pytest.mark.parametrize("method", ["linear", "full", "coop"])
def test_both_sizes_are_told(tiny_vit_backbone: Backbone, tmp_path: Path, method: str) -> None:
    learner = create_learner(method, tiny_vit_backbone, ["cat", "dog"])
    learner.save(tmp_path)
    n_saved = sum(value.numel() for value in learner.state_dict().values())
    n_whole = sum(value.numel() for value in tiny_vit_backbone.model.parameters())
    found = re.fullmatch(
        r"Saved (.+) \((.+) numbers\), (.+) % of the backbone's (.+)", describe_sizes(learner, tmp_path)
    )
    assert found is not None
    size = (tmp_path / "prompt.safetensors").stat().st_size
    assert found.groups()[:2] == (sized(size), f"{n_saved:,}")
    percent = 100 * size / (4 * n_whole)
    assert found[3] == "under 0.01" if percent < 0.01 else float(found[3]) == pytest.approx(percent, rel=0.06)
    assert found[4] == sized(4 * n_whole)


def test_an_image_tower_is_counted_apart(tiny_vit_backbone: Backbone) -> None:
    visual = tiny_vit_backbone.model.visual
    assert tiny_vit_backbone.n_image_parameters == sum(value.numel() for value in visual.parameters())
    assert tiny_vit_backbone.n_image_parameters < tiny_vit_backbone.n_parameters
