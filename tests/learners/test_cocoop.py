from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.learners import create_learner
from clipprompt.learners.cocoop import CoCoOp
from tests.conftest import Golden, assert_close
from tests.learners import _golden

Texts = dict[str, list[str]]


@pytest.fixture
def expected(golden: Callable[[str], Golden]) -> Golden:
    return golden("cocoop")


@pytest.fixture
def learner(tiny_vit_backbone: Backbone, texts: Texts, expected: Golden) -> CoCoOp:
    created = _golden.create_with("cocoop", tiny_vit_backbone, texts["classnames"], expected)
    assert isinstance(created, CoCoOp)
    return created


def test_forward_matches_golden(learner: CoCoOp, inputs: Golden, expected: Golden) -> None:
    _golden.check_forward(learner, inputs["images_vit"], expected)
    features = learner.encode_images(inputs["images_vit"])
    shift = learner.meta_net(features.global_)
    assert_close(shift, expected["meta_bias"], _golden.FORWARD)
    assert_close(learner.ctx + shift[:, None], expected["ctx_shifted"], _golden.FORWARD)
    assert_close(learner.conditioned_text_features(features), expected["text_features"], _golden.FORWARD)


def test_gradients_match_golden(learner: CoCoOp, inputs: Golden, expected: Golden) -> None:
    _golden.check_gradients(learner, inputs["images_vit"], expected)


def test_five_steps_match_golden(learner: CoCoOp, inputs: Golden, expected: Golden) -> None:
    _golden.check_five_steps(learner, inputs["images_vit"], expected)


def test_a_batch_equals_its_images_one_by_one(learner: CoCoOp, inputs: Golden) -> None:
    images = inputs["images_vit"]
    single = torch.cat([learner(image[None]) for image in images])
    assert_close(learner(images), single, 1e-5)


@pytest.mark.parametrize("ctx_init", ["a photo of a", None])
def test_an_image_that_shifts_nothing_sees_the_unshifted_context(
    tiny_backbone: Backbone, inputs: Golden, texts: Texts, ctx_init: str | None
) -> None:
    learner = create_learner("cocoop", tiny_backbone, texts["classnames"], ctx_init=ctx_init)
    assert isinstance(learner, CoCoOp)
    for parameter in learner.meta_net.linear2.parameters():
        torch.nn.init.zeros_(parameter)
    images = inputs["images_vit" if tiny_backbone.image_size == 64 else "images_rn"]
    features = learner.encode_images(images)
    plain = tiny_backbone.logit_scale * features.global_ @ learner.class_features().T
    assert_close(learner(images), plain, 1e-5)


def test_words_start_it_at_the_hand_written_prompt(tiny_backbone: Backbone, texts: Texts) -> None:
    learner = create_learner("cocoop", tiny_backbone, texts["classnames"])
    plain = create_learner("zero_shot", tiny_backbone, texts["classnames"])
    assert_close(learner.class_features(), plain.class_features(), 1e-5)


def test_many_classes_are_computed_in_parts_with_the_same_loss_and_gradients(
    learner: CoCoOp, inputs: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, labels = inputs["images_vit"], inputs["labels_vit"].long()
    results = []
    for positions in (8192, 1):
        monkeypatch.setattr("clipprompt.backbone._text.POSITIONS_AT_ONCE", positions)
        learner.zero_grad()
        learner.loss(images, labels).backward()
        results.append({name: p.grad for name, p in learner.named_parameters()})
    for name, gradient in results[0].items():
        part = results[1][name]
        assert gradient is not None
        assert part is not None
        assert_close(part, gradient, 1e-5)


def test_layers_start_as_pytorch_starts_them(tiny_vit_backbone: Backbone, texts: Texts) -> None:
    learner = create_learner("cocoop", tiny_vit_backbone, texts["classnames"])
    for key, n_in in (("linear1", 64), ("linear2", 4)):
        weight = learner.state_dict()[f"meta_net.{key}.weight"]
        assert 0.9 * n_in**-0.5 < weight.abs().max() <= n_in**-0.5
        assert abs(float(weight.mean())) < 0.1 * n_in**-0.5


def test_captions_are_refused(learner: CoCoOp, inputs: Golden) -> None:
    with pytest.raises(UserError, match="cannot score captions"):
        learner.logits_from(learner.encode_captions(inputs["caption_tokens"]))


def test_it_says_that_no_one_classifier_stands_for_it(learner: CoCoOp, inputs: Golden) -> None:
    assert learner.text_side_sees_the_image
    text = learner.conditioned_text_features(learner.encode_images(inputs["images_vit"]))
    assert (F.normalize(text.mean(dim=0), dim=-1) - text).abs().max() > 1e-3
