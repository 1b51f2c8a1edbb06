"""The bias terms of the image tower learnt."""

from __future__ import annotations

import copy

import pytest
import torch

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.learners import create_learner
from tests.conftest import Golden, assert_close

NAMES = ["cat", "dog", "horse"]


def test_only_bias_terms_are_learnt_with_the_gradients_of_full_tuning(tiny_backbone: Backbone, inputs: Golden) -> None:
    images = inputs["images_vit" if tiny_backbone.image_size == 64 else "images_rn"][:3]
    bias, full = (create_learner(name, tiny_backbone, NAMES, seed=1) for name in ("bias", "full"))
    assert set(bias.weights) == {name for name in full.weights if name.endswith("bias")}
    for learner in (bias, full):
        learner.loss(images, torch.tensor([0, 1, 2])).backward()
    for name, parameter in bias.weights.items():
        assert_close(parameter.grad, full.weights[name].grad, 1e-5)


def test_a_tower_without_biases_is_refused(tiny_vit_backbone: Backbone) -> None:
    model = copy.deepcopy(tiny_vit_backbone.model)
    for module in model.visual.modules():
        for name in [name for name, _ in module.named_parameters(recurse=False) if name.endswith("bias")]:
            setattr(module, name, None)
    backbone = Backbone.from_open_clip(model, tiny_vit_backbone.tokenizer, name="without")
    with pytest.raises(UserError, match="image tower of without has no bias terms") as error:
        create_learner("bias", backbone, NAMES)
    assert "\n" not in str(error.value)
