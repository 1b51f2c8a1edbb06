"""Every weight of the image tower learnt."""

from __future__ import annotations

import copy

import torch
from torch.nn import functional as F

from clipprompt.backbone import Backbone
from clipprompt.learners import create_learner
from tests.conftest import Golden, assert_close

NAMES = ["cat", "dog", "horse"]


def test_gradients_are_those_of_the_model_itself(tiny_vit_backbone: Backbone, inputs: Golden) -> None:
    learner = create_learner("full", tiny_vit_backbone, NAMES)
    images, labels = inputs["images_vit"][:3], torch.tensor([0, 1, 2])
    learner.loss(images, labels).backward()
    plain = copy.deepcopy(tiny_vit_backbone.model.visual).requires_grad_(True)
    plain.proj = None  # the head reads what stands before it
    head = {key: value.detach() for key, value in learner.named_parameters() if key.startswith("head")}
    F.cross_entropy(plain(images) @ head["head.weight"].T + head["head.bias"], labels).backward()
    ours = {key: value.grad for key, value in learner.weights.items()}
    theirs = {key.replace(".", "/"): value.grad for key, value in plain.named_parameters()}
    assert ours.keys() == theirs.keys()
    for key, gradient in theirs.items():
        assert_close(ours[key], gradient, 1e-4)


def test_all_that_the_feature_reads_is_learnt_and_nothing_else(tiny_rn_backbone: Backbone) -> None:
    learner = create_learner("full", tiny_rn_backbone, NAMES)
    names = {name.replace("/", ".") for name in learner.weights}
    left = {name for name, _ in tiny_rn_backbone.vision.module.named_parameters()} - names
    assert any(name.startswith("layer4") for name in names)
    assert all(name.startswith("attnpool") for name in left)  # it leads to the joint space


def test_it_starts_as_the_tower_is(tiny_backbone: Backbone, inputs: Golden) -> None:
    images = inputs["images_vit" if tiny_backbone.image_size == 64 else "images_rn"]
    full, linear = (create_learner(name, tiny_backbone, NAMES, seed=1) for name in ("full", "linear"))
    assert_close(full(images), linear(images).detach(), 1e-6)
