from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from clipprompt import losses
from clipprompt.backbone import Backbone
from clipprompt.learners import create_learner
from clipprompt.learners.caption_dual import CaptionDual
from tests.conftest import Golden, assert_close
from tests.learners._golden import FORWARD, check_gradients, take_five_steps

FINAL = 2e-3  # five steps amplify rounding
Texts = dict[str, list[str]]


def _create(backbone: Backbone, texts: Texts, state: Golden | None = None, **options: Any) -> CaptionDual:
    learner = create_learner("caption_dual", backbone, texts["classnames"], **{"n_ctx": 4, **options})
    assert isinstance(learner, CaptionDual)
    if state is not None:
        prompts = {key.removeprefix("init/"): value for key, value in state.items() if key.startswith("init/")}
        learner.load_state_dict(prompts, strict=True)
    return learner


@pytest.fixture
def expected(golden: Callable[[str], Golden]) -> Golden:
    """The golden numbers; their labels are 1 present, -1 absent, 0 unknown, ours 1, 0, -1."""
    numbers = golden("tai_caption_dual")
    theirs = numbers["labels"]
    return {**numbers, "labels": torch.where(theirs == 1, 1, -1 - theirs)}


def test_labels_are_converted(expected: Golden, inputs: Golden) -> None:
    assert torch.equal(expected["labels"], inputs["partial_rn_dualcoop"].long())


def test_forward_matches_golden(tiny_rn_backbone: Backbone, texts: Texts, inputs: Golden, expected: Golden) -> None:
    learner = _create(tiny_rn_backbone, texts, expected)
    logits, larger = learner.image_logits(inputs["images_rn"]), learner.image_logits(inputs["images_rn160"])
    assert_close(learner.text_features()[0], expected["text_features"], FORWARD)
    assert_close(learner.text_features()[1], expected["text_features_neg"], FORWARD)
    assert_close(logits.global_, expected["logits_global"], FORWARD)
    assert_close(logits.local, expected["logits_local"], FORWARD)
    assert_close(larger.global_, expected["image160/logits_global"], FORWARD)
    assert_close(larger.local, expected["image160/logits_local"], FORWARD)
    assert torch.equal(learner(inputs["images_rn"]), logits.local)
    assert_close(learner.pair_logits(inputs["images_rn"]).diff(dim=1)[:, 0], logits.local, 1e-6)


def test_gradients_match_golden(tiny_rn_backbone: Backbone, texts: Texts, inputs: Golden, expected: Golden) -> None:
    learner = _create(tiny_rn_backbone, texts, expected)
    check_gradients(learner, inputs["images_rn"], expected)


def test_five_steps_match_golden(tiny_rn_backbone: Backbone, texts: Texts, inputs: Golden, expected: Golden) -> None:
    learner, images = _create(tiny_rn_backbone, texts, expected), inputs["images_rn"]
    take_five_steps(learner, images, expected, FINAL)
    assert_close(learner.image_logits(images).global_, expected["logits_global_final"], FINAL)
    assert_close(learner.image_logits(images).local, expected["logits_local_final"], FINAL)


@pytest.mark.parametrize("class_specific", [False, True])
def test_logits_equal_place_after_place(
    tiny_backbone: Backbone, texts: Texts, inputs: Golden, class_specific: bool
) -> None:
    learner = _create(tiny_backbone, texts, class_specific=class_specific)
    images = inputs["images_vit" if tiny_backbone.image_size == 64 else "images_rn"]
    places, (positive, negative) = learner.encode_images(images).local, learner.text_features()
    expected = torch.zeros(len(images), 7)
    for image in range(len(images)):
        for c in range(7):
            present = torch.stack([place @ positive[c] for place in places[image]])
            absent = torch.stack([place @ negative[c] for place in places[image]])
            weight = (learner.spatial_temperature.exp() * present).exp()
            expected[image, c] = learner.temperature.exp() * ((present - absent) * weight).sum() / weight.sum()
    assert_close(learner(images), expected, 1e-5)


def test_captions_are_looked_at_token_after_token(tiny_rn_backbone: Backbone, texts: Texts, inputs: Golden) -> None:
    learner = _create(tiny_rn_backbone, texts)
    captions, (positive, negative) = learner.encode_captions(inputs["caption_tokens"]), learner.text_features()
    found, start = learner.branch_logits_from(captions), 0
    for row, length in enumerate(captions.lengths.tolist()):
        tokens, start = captions.tokens[start : start + length], start + length
        assert length == int(inputs["caption_tokens"][row].argmax()) + 1
        weights = (learner.spatial_temperature.exp() * tokens @ positive.T).softmax(dim=0)
        part = learner.temperature.exp() * (weights * (tokens @ (positive - negative).T)).sum(dim=0)
        whole = learner.temperature.exp() * (positive - negative) @ tokens[-1]
        assert_close(found.local[row], part, 1e-5)
        assert_close(found.global_[row], whole, 1e-5)


def test_captions_and_images_are_learnt_from_by_the_same_loss(
    tiny_rn_backbone: Backbone, texts: Texts, inputs: Golden
) -> None:
    learner = _create(tiny_rn_backbone, texts)
    captions, images = (learner.encode_captions(inputs["caption_tokens"]), learner.encode_images(inputs["images_rn"]))
    for features, labels in ((captions, inputs["caption_labels"]), (images, inputs["partial_rn_dualcoop"])):
        logits = learner.logits_from(features)
        loss = learner.loss_from(features, labels)
        assert_close(loss, losses.asymmetric(logits, labels, reduction="batch_mean").detach(), 1e-6)
        for gradient in torch.autograd.grad(loss, list(learner.parameters())):
            assert gradient.abs().max() > 0


def test_scales_start_as_published_and_are_learnt(tiny_rn_backbone: Backbone, texts: Texts) -> None:
    state = _create(tiny_rn_backbone, texts).state_dict()
    assert set(state) == {"ctx_pos", "ctx_neg", "temperature", "spatial_temperature"}
    assert (float(state["temperature"]), float(state["spatial_temperature"])) == pytest.approx((3.91, 3.0))
