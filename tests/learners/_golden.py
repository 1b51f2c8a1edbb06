"""What the golden tests of learners have in common."""

from __future__ import annotations

from typing import Any

import torch

from clipprompt.backbone import Backbone
from clipprompt.learners import Learner, create_learner
from tests.conftest import Golden, assert_close

FORWARD, GRAD, CURVE, FINAL = 1e-4, 2e-4, 5e-4, 1e-4


def create_with(name: str, backbone: Backbone, classnames: list[str], expected: Golden, **options: Any) -> Learner:
    """The learner with the prompts that the golden numbers start from, loaded strictly."""
    learner = create_learner(name, backbone, classnames, **options)
    prompts = {key.removeprefix("init/"): value for key, value in expected.items() if key.startswith("init/")}
    learner.load_state_dict(prompts, strict=True)
    return learner


def check_forward(learner: Learner, images: torch.Tensor, expected: Golden) -> None:
    features = learner.encode_images(images)
    assert_close(features.global_, expected["image_features"], FORWARD)
    assert_close(learner(images), expected["logits"], FORWARD)


def check_gradients(learner: Learner, images: torch.Tensor, expected: Golden) -> None:
    loss = learner.loss(images, expected["labels"])
    loss.backward()
    assert_close(loss, expected["loss"], FORWARD)
    for name, parameter in learner.named_parameters():
        assert parameter.grad is not None
        assert_close(parameter.grad, expected[f"grad/{name}"], GRAD)


def check_five_steps(learner: Learner, images: torch.Tensor, expected: Golden) -> None:
    take_five_steps(learner, images, expected)
    with torch.no_grad():
        assert_close(learner(images), expected["logits_final"], FINAL)


def take_five_steps(learner: Learner, images: torch.Tensor, expected: Golden, final: float = FINAL) -> None:
    """Holds the losses on the way and the parameters at the end to the numbers; the caller compares the logits."""
    optimizer = torch.optim.SGD(learner.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    curve = []
    for _ in range(5):
        loss = learner.loss(images, expected["labels"])
        curve.append(loss.detach())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert_close(torch.stack(curve), expected["loss_curve"], CURVE)
    for name, parameter in learner.named_parameters():
        assert_close(parameter, expected[f"final/{name}"], final)
    with torch.no_grad():
        assert_close(learner.loss(images, expected["labels"]), expected["loss_final"], final)


def check_half_casts(learner: Learner, images: torch.Tensor, expected: Golden, variant: str, start: Golden) -> None:
    """The numbers that the original gives when its casts to float16 are left in.

    It rounds every prompt but the first text layer's where it enters a layer, gradients included. Here prompts are
    float32, and the test does the rounding. The original's gradients are rounded for each image and class, here their
    sum is, which is as near as 1e-3.
    """
    masters = {key: start[f"init/{key}"][: p.shape[0]].clone() for key, p in learner.named_parameters()}
    momentum = {key: torch.zeros_like(value) for key, value in masters.items()}
    curve = []
    for step in range(5):
        learner.load_state_dict({key: _as_cast(key, value) for key, value in masters.items()}, strict=True)
        learner.zero_grad()
        loss = learner.loss(images, start["labels"])
        loss.backward()
        curve.append(loss.detach())
        gradients = {key: _as_cast(key, p.grad) for key, p in learner.named_parameters() if p.grad is not None}
        if step == 0:
            assert (learner(images) - expected[f"{variant}/logits"]).abs().max() < 1e-5
            for key, gradient in gradients.items():
                assert_close(gradient, expected[f"{variant}/grad/{key}"], 1e-3)
        for key, master in masters.items():
            momentum[key] = 0.9 * momentum[key] + gradients[key] + 5e-4 * master
            masters[key] = master - 0.01 * momentum[key]
    assert_close(torch.stack(curve), expected[f"{variant}/loss_curve"], 1e-4)


def _as_cast(key: str, value: torch.Tensor) -> torch.Tensor:
    return value if key == "ctx" else value.half().float()
