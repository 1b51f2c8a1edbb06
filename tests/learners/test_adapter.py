"""Bottlenecks inside each block of the image tower."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.learners import create_learner
from tests.conftest import Golden, assert_close

NAMES = ["cat", "dog", "horse"]


def test_the_tower_is_that_of_the_formula(tiny_vit_backbone: Backbone, inputs: Golden) -> None:
    """A second walk in plain torch: x + attention(x), then x + h + up(gelu(down(h))) with h the MLP's output."""
    learner, visual = create_learner("adapter", tiny_vit_backbone, NAMES, seed=1), tiny_vit_backbone.model.visual
    parameters = dict(learner.named_parameters())
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.mul_(20)
        x = visual.conv1(inputs["images_vit"]).flatten(2).transpose(1, 2)
        x = torch.cat([visual.class_embedding.expand(len(x), 1, -1), x], dim=1) + visual.positional_embedding
        x = visual.ln_pre(x)
        for number, block in enumerate(visual.transformer.resblocks):
            normed = block.ln_1(x)
            x = x + block.attn(normed, normed, normed, need_weights=False)[0]
            h = block.mlp(block.ln_2(x))
            own = {name: parameters[f"bottlenecks.{number}.{name}"] for name in ("down.weight", "up.weight")}
            x = x + h + F.gelu(h @ own["down.weight"].T) @ own["up.weight"].T
        feature = visual.ln_post(x[:, 0])
        assert_close(learner.encode_images(inputs["images_vit"])[0], feature, 1e-5)
        logits = feature @ parameters["head.weight"].T + parameters["head.bias"]
        assert_close(learner(inputs["images_vit"]), logits, 1e-5)


def test_it_starts_near_the_identity(tiny_vit_backbone: Backbone, inputs: Golden) -> None:
    learner, tower = create_learner("adapter", tiny_vit_backbone, NAMES), tiny_vit_backbone.vision
    with torch.no_grad():
        frozen = tower.final(tower.trunk(inputs["images_vit"]))
        assert_close(learner.encode_images(inputs["images_vit"])[0], frozen, 0.02)


@pytest.mark.parametrize(("reduction", "n_hidden"), [(1, 64), (8, 8), (64, 1), (256, 1)])
def test_the_bottleneck_is_that_many_times_narrower(tiny_vit_backbone: Backbone, reduction: int, n_hidden: int) -> None:
    learner = create_learner("adapter", tiny_vit_backbone, NAMES, reduction=reduction)
    width, n_layers = tiny_vit_backbone.vision.width, tiny_vit_backbone.vision.n_layers
    n_hidden = max(1, width // reduction)
    per_block = 2 * width * n_hidden + n_hidden + width
    assert learner.n_parameters == n_layers * per_block + len(NAMES) * (tiny_vit_backbone.vision.final_width + 1)


@pytest.mark.parametrize("value", [0, -1, 2.5])
def test_a_wrong_reduction_is_named(tiny_vit_backbone: Backbone, value: float) -> None:
    with pytest.raises(UserError, match="adapter: option reduction"):
        create_learner("adapter", tiny_vit_backbone, NAMES, reduction=value)


def test_a_resnet_has_no_place_for_it(tiny_rn_backbone: Backbone) -> None:
    with pytest.raises(UserError, match=r"needs a transformer image tower, or a ConvNeXt; .*tiny_rn .*Bottleneck"):
        create_learner("adapter", tiny_rn_backbone, NAMES)
