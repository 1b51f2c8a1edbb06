"""Learners with a head on image towers that have no text tower beside them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from clipprompt.backbone import Backbone, load_backbone
from clipprompt.errors import UserError
from clipprompt.evaluation.rows import zero_shot_rows
from clipprompt.learners import create_learner, load_learner
from tests.conftest import assert_close

NAMES = ["cat", "dog", "horse"]


@pytest.fixture(scope="module", params=["test_vit", "test_convnext", "test_resnet"])
def backbone(request: pytest.FixtureRequest) -> Backbone:
    return load_backbone(f"timm:{request.param}", "random", device="cpu")


@pytest.fixture
def images(backbone: Backbone) -> torch.Tensor:
    size = backbone.image_size
    return torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["linear", "mlp", "partial", "bias", "full", "sidetune"])
def test_they_learn_and_come_back(backbone: Backbone, images: torch.Tensor, tmp_path: Path, name: str) -> None:
    learner = create_learner(name, backbone, NAMES)
    before = {key: value.clone() for key, value in backbone.model.state_dict().items()}
    learner.loss(images, torch.tensor([0, 1, 2])).backward()
    assert all(p.grad is None for p in backbone.model.parameters())
    with torch.no_grad():
        for key, parameter in learner.named_parameters():
            assert parameter.grad is not None, key
            parameter.sub_(0.1 * parameter.grad)
        expected = learner(images)
        learner.save(tmp_path)
        assert_close(load_learner(tmp_path, backbone)(images), expected, 1e-6)
    assert all(torch.equal(value, before[key]) for key, value in backbone.model.state_dict().items())


def test_the_last_block_is_that_of_the_walk(backbone: Backbone) -> None:
    learner = create_learner("partial", backbone, NAMES)
    last = backbone.vision.block_names[-1].replace(".", "/")
    inside = [name for name in learner.weights if name.startswith(f"{last}/")]
    outside = [name for name in learner.weights if name not in inside]
    assert inside
    assert all("norm" in name for name in outside)


@pytest.mark.parametrize("name", ["coop", "zero_shot", "clip_adapter"])
def test_what_needs_texts_says_so_in_a_line(backbone: Backbone, name: str) -> None:
    with pytest.raises(UserError, match="needs a text tower") as error:
        create_learner(name, backbone, NAMES)
    assert "\n" not in str(error.value)


def test_there_is_no_row_of_zero_shot(backbone: Backbone) -> None:
    assert zero_shot_rows(backbone, NAMES) == []
