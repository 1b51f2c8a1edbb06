"""A perceptron over the frozen tower's feature."""

from __future__ import annotations

import pytest
import torch

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.learners import create_learner
from tests.conftest import Golden, assert_close

NAMES = ["cat", "dog", "horse"]


def test_its_layers_are_linear_with_relu_between(tiny_vit_backbone: Backbone, inputs: Golden) -> None:
    learner = create_learner("mlp", tiny_vit_backbone, NAMES, n_layers=3)
    own = dict(learner.named_parameters())
    with torch.no_grad():
        x = learner.encode_images(inputs["images_vit"])[0]
        for layer in ("hidden.0", "hidden.1"):
            x = (x @ own[f"{layer}.weight"].T + own[f"{layer}.bias"]).clamp(min=0)
        expected = x @ own["head.weight"].T + own["head.bias"]
        assert_close(learner(inputs["images_vit"]), expected, 1e-5)


def test_one_layer_is_linear(tiny_vit_backbone: Backbone, inputs: Golden) -> None:
    one, linear = (
        create_learner(name, tiny_vit_backbone, NAMES, seed=3, **options)
        for name, options in (("mlp", {"n_layers": 1}), ("linear", {}))
    )
    assert torch.equal(one(inputs["images_vit"]), linear(inputs["images_vit"]))


def test_at_least_one_layer_is_needed(tiny_vit_backbone: Backbone) -> None:
    with pytest.raises(UserError, match="option n_layers = 0"):
        create_learner("mlp", tiny_vit_backbone, NAMES, n_layers=0)
