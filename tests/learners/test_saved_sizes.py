"""What a task costs on disk with ViT-B/16: built without memory for its weights, and counted."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch

from clipprompt.backbone import Backbone
from clipprompt.learners import create_learner

CLASSES = [f"class {i}" for i in range(10)]


@pytest.fixture(scope="module")
def vit() -> Backbone:
    with torch.device("meta"):
        return Backbone.from_timm(timm.create_model("vit_base_patch16_224"))


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("adapter", {}),
        ("bias", {}),
        ("lora", {}),
        ("lora", {"projections": "q,k,v,out"}),
        ("vpt_head", {}),
        ("vpt_head", {"depth": 1, "n_ctx": 200}),
        ("vpt_head", {"bias": True}),
    ],
)
def test_a_task_is_saved_in_less_than_a_hundredth_of_the_tower(
    vit: Backbone, method: str, options: dict[str, Any]
) -> None:
    whole = sum(parameter.numel() for parameter in vit.model.parameters())
    learner = create_learner(method, vit, CLASSES, **options)
    assert 0 < sum(value.numel() for value in learner.kept_state().values()) < whole / 100
