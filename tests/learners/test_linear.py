"""A linear layer over the frozen tower's feature."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.learners import create_learner
from tests.conftest import Golden, assert_close

NAMES = ["cat", "dog", "horse"]


def test_it_is_a_linear_layer_over_the_feature_before_the_projection(
    tiny_vit_backbone: Backbone, inputs: Golden
) -> None:
    learner = create_learner("linear", tiny_vit_backbone, NAMES)
    visual, head = tiny_vit_backbone.model.visual, dict(learner.named_parameters())
    with torch.no_grad():
        joint = tiny_vit_backbone.encode_image(inputs["images_vit"])
        feature = learner.encode_images(inputs["images_vit"])[0]
        assert_close(feature @ visual.proj, joint, 1e-5)
        assert_close(learner(inputs["images_vit"]), feature @ head["head.weight"].T + head["head.bias"], 1e-6)


def test_the_head_starts_small_and_unbiased(tiny_backbone: Backbone) -> None:
    learner = create_learner("linear", tiny_backbone, [f"class {i}" for i in range(50)])
    head = dict(learner.named_parameters())
    assert head["head.bias"].abs().max() == 0
    assert head["head.weight"].detach().std() == pytest.approx(0.01, rel=0.05)
    assert learner.n_parameters == 50 * (tiny_backbone.vision.final_width + 1)


def test_what_is_frozen_is_told_by_what_is_pooled(tiny_vit_backbone: Backbone) -> None:
    parts = [create_learner("linear", tiny_vit_backbone, NAMES, pool=pool).frozen_part for pool in ("own", "image")]
    assert parts == ["pooled-own", "pooled-image"]


def test_sigmoid_is_for_several_classes_a_picture_and_leaves_unknown_labels_out(
    tiny_vit_backbone: Backbone, inputs: Golden
) -> None:
    learner = create_learner("linear", tiny_vit_backbone, NAMES, loss="sigmoid")
    labels = torch.tensor([[1.0, 1, 0], [0, -1, 1]])
    logits = learner(inputs["images_vit"][:2])
    known = labels >= 0
    expected = F.binary_cross_entropy_with_logits(logits[known], labels[known])
    assert_close(learner.loss(inputs["images_vit"][:2], labels), expected.detach(), 1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"pool": "prompts"}, "pool=prompts: linear has no prompts", id="no prompts to pool"),
        pytest.param({"pool": "best"}, "option pool = 'best'", id="unknown pool"),
        pytest.param({"loss": "hinge"}, "option loss = 'hinge'", id="unknown loss"),
    ],
)
def test_options_that_do_not_fit_get_one_line(
    tiny_vit_backbone: Backbone, options: dict[str, str], message: str
) -> None:
    with pytest.raises(UserError, match=message) as error:
        create_learner("linear", tiny_vit_backbone, NAMES, **options)
    assert "\n" not in str(error.value)


def test_a_tower_without_a_class_token_gets_one_line(tiny_rn_backbone: Backbone, inputs: Golden) -> None:
    learner = create_learner("linear", tiny_rn_backbone, NAMES, pool="class")
    with pytest.raises(UserError, match="pool=class") as error:
        learner(inputs["images_rn"])
    assert "\n" not in str(error.value)
