"""VPT on a plain ViT in timm's layout with a linear head, against numbers of the original implementation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from unittest import mock

import pytest
import timm
import torch
from open_clip.timm_model import TimmModel
from torch import Tensor
from torch.nn import functional as F

from clipprompt.backbone import VisionTower
from clipprompt.backbone._vision_towers import wrap_vision_tower
from tests.conftest import Golden, assert_close
from tests.golden.tiny_clip import tiny_plain_vit_state_dict

FORWARD, GRADIENT, CURVE, FINAL = 1e-4, 2e-4, 5e-4, 2e-3
PARAMETERS = ("visual_ctx", "deep_visual_ctx", "head.weight", "head.bias")


@pytest.fixture(scope="module")
def tower() -> VisionTower:
    sizes = {"img_size": 64, "embed_dim": 64, "depth": 3, "num_heads": 2, "mlp_ratio": 2}
    with mock.patch("timm.create_model", partial(timm.create_model, **sizes)):
        visual = TimmModel("vit_tiny_patch16_224", embed_dim=64, image_size=64, pool="token", proj="none")
    weights = {key: value for key, value in tiny_plain_vit_state_dict(0).items() if not key.startswith("head")}
    visual.trunk.load_state_dict(weights)
    return wrap_vision_tower(visual.requires_grad_(False).eval())


def _features(tower: VisionTower, images: Tensor, parameters: Golden) -> Tensor:
    hidden = tower.trunk(images, parameters["visual_ctx"], parameters.get("deep_visual_ctx"))
    return tower.pool(hidden)


def _loss(tower: VisionTower, images: Tensor, parameters: Golden, labels: Tensor) -> tuple[Tensor, Tensor]:
    logits = F.linear(_features(tower, images, parameters), parameters["head.weight"], parameters["head.bias"])
    return logits, F.cross_entropy(logits, labels)


@pytest.mark.parametrize("name", ["kmnp_vpt_shallow", "kmnp_vpt_deep"])
def test_a_plain_vit_matches_golden(
    tower: VisionTower, inputs: Golden, golden: Callable[[str], Golden], name: str
) -> None:
    """The original puts its prompts between class token and patches, the tower behind them: attention sees no order."""
    expected, images = golden(name), inputs["images_vit"]
    parameters = {
        key: expected[f"init/{key}"].clone().requires_grad_() for key in PARAMETERS if f"init/{key}" in expected
    }
    assert_close(tower.pool(tower.trunk(images)), expected["features_without_prompts"], FORWARD)
    assert_close(_features(tower, images, parameters), expected["features"], FORWARD)
    optimiser = torch.optim.SGD(parameters.values(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    curve = []
    for step in range(5):
        logits, loss = _loss(tower, images, parameters, expected["labels"])
        optimiser.zero_grad()
        loss.backward()
        curve.append(loss.detach())
        if step == 0:
            assert_close(logits, expected["logits"], FORWARD)
            for key, parameter in parameters.items():
                assert parameter.grad is not None
                assert_close(parameter.grad, expected[f"grad/{key}"], GRADIENT)
        optimiser.step()
    assert_close(torch.stack(curve), expected["loss_curve"], CURVE)
    for key, parameter in parameters.items():
        assert_close(parameter, expected[f"final/{key}"], FINAL)
    logits, loss = _loss(tower, images, parameters, expected["labels"])
    assert_close(logits, expected["logits_final"], FINAL)
    assert_close(loss, expected["loss_final"], CURVE)
