"""A bottleneck on the image's feature."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.learners import create_learner
from tests.conftest import Golden, assert_close

NAMES = ["cat", "dog", "horse"]


def test_logits_are_the_papers_on_features_of_any_length(tiny_backbone: Backbone, inputs: Golden) -> None:
    """The paper mixes unnormalised features; the learner is given normalised ones."""
    learner = create_learner("clip_adapter", tiny_backbone, NAMES, ratio=0.3)
    images = inputs["images_vit" if tiny_backbone.image_size == 64 else "images_rn"]
    down, up = (learner.get_parameter(name).detach() for name in ("down", "up"))
    assert down.shape == (16, 64)
    with torch.no_grad():
        f = 7.0 * tiny_backbone.encode_image(images)
        mixed = 0.3 * F.relu(F.relu(f @ down.T) @ up.T) + 0.7 * f
        mixed = mixed / mixed.norm(dim=1, keepdim=True)
        texts = tiny_backbone.encode_text(tiny_backbone.tokenize([f"a photo of a {name}." for name in NAMES]))
        expected = tiny_backbone.logit_scale * mixed @ (texts / texts.norm(dim=1, keepdim=True)).T
        assert_close(learner(images), expected, 1e-5)


def test_image_features_are_frozen_and_no_classifier_says_what_it_does(tiny_backbone: Backbone) -> None:
    learner = create_learner("clip_adapter", tiny_backbone, NAMES)
    assert learner.image_side_is_frozen
    assert learner.text_side_sees_the_image
    assert not learner.class_features().requires_grad


def test_it_cannot_score_captions(tiny_backbone: Backbone, inputs: Golden) -> None:
    learner = create_learner("clip_adapter", tiny_backbone, NAMES)
    with pytest.raises(UserError, match="clip_adapter is learnt from features of images; it cannot score captions"):
        learner.logits_from(learner.encode_captions(inputs["caption_tokens"]))


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        pytest.param("ratio", 0.0, "option ratio = 0.0", id="nothing learnt"),
        pytest.param("ratio", 1.5, "option ratio = 1.5", id="ratio"),
        pytest.param("reduction", 0, "option reduction = 0", id="no reduction"),
        pytest.param("reduction", 65, "reduction 65 is more than the 64 numbers of a feature", id="too narrow"),
    ],
)
def test_a_wrong_option_is_told_in_one_line(tiny_vit_backbone: Backbone, option: str, value: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        create_learner("clip_adapter", tiny_vit_backbone, NAMES, **{option: value})
