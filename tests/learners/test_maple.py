from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.learners import create_learner
from clipprompt.learners.maple import MaPLe
from tests.conftest import Golden, assert_close
from tests.learners import _golden
from tests.learners._plain import tiny_vit

DEPTHS = {"maple": 3, "maple_shallow": 1}
Texts = dict[str, list[str]]


@pytest.fixture(params=DEPTHS)
def variant(
    request: pytest.FixtureRequest, tiny_vit_backbone: Backbone, texts: Texts, golden: Callable[[str], Golden]
) -> tuple[Any, Golden]:
    expected, names = golden(request.param), texts["classnames"]
    return _golden.create_with("maple", tiny_vit_backbone, names, expected, depth=DEPTHS[request.param]), expected


def test_forward_matches_golden(variant: tuple[MaPLe, Golden], inputs: Golden) -> None:
    learner, expected = variant
    _golden.check_forward(learner, inputs["images_vit"], expected)
    assert_close(learner.class_features(), expected["text_features"], _golden.FORWARD)
    whole, deep = learner.visual_prompts()
    assert_close(whole, expected["projected_visual_ctx"], _golden.FORWARD)
    assert (deep is None) == (learner.options.depth == 1)
    if deep is not None:
        assert_close(deep, expected["projected_deep_visual_ctx"], _golden.FORWARD)


def test_gradients_match_golden(variant: tuple[MaPLe, Golden], inputs: Golden) -> None:
    _golden.check_gradients(variant[0], inputs["images_vit"], variant[1])


def test_five_steps_match_golden(variant: tuple[MaPLe, Golden], inputs: Golden) -> None:
    _golden.check_five_steps(variant[0], inputs["images_vit"], variant[1])


def test_words_start_the_context_as_in_golden(
    tiny_vit_backbone: Backbone, texts: Texts, golden: Callable[[str], Golden]
) -> None:
    learner = create_learner("maple", tiny_vit_backbone, texts["classnames"], depth=3)
    photo = tiny_vit_backbone.text.embed_tokens(tiny_vit_backbone.tokenize(["a photo of a"]))[0, 1:3]
    assert torch.equal(learner.state_dict()["ctx"], photo)
    expected = {k.removeprefix("init/"): v.shape for k, v in golden("maple").items() if k.startswith("init/")}
    assert {key: value.shape for key, value in learner.state_dict().items()} == expected


@pytest.mark.parametrize("n_ctx", [1, 2, 4])
def test_words_that_are_not_learnt_stay_in_the_prompt(tiny_vit_backbone: Backbone, texts: Texts, n_ctx: int) -> None:
    learner = create_learner("maple", tiny_vit_backbone, texts["classnames"], n_ctx=n_ctx, depth=1)
    plain = create_learner("zero_shot", tiny_vit_backbone, texts["classnames"])
    assert_close(learner.class_features(), plain.class_features(), 1e-5)


@pytest.mark.parametrize("n_ctx", [5, 8])
def test_too_few_words_leave_the_class_name_alone(
    tiny_vit_backbone: Backbone, caplog: pytest.LogCaptureFixture, n_ctx: int
) -> None:
    with caplog.at_level(logging.WARNING, "clipprompt"):
        learner = create_learner("maple", tiny_vit_backbone, ["cat", "dog", "horse"], n_ctx=n_ctx, depth=2)
    assert caplog.messages == [
        f"ctx_init 'a photo of a' has 4 tokens, too few for n_ctx {n_ctx}: the context starts random"
    ]
    caplog.clear()
    random = create_learner("maple", tiny_vit_backbone, ["cat", "dog", "horse"], n_ctx=n_ctx, depth=2, ctx_init=None)
    assert not caplog.messages
    assert torch.equal(learner.class_features(), random.class_features())
    assert (learner.class_features()[0] - learner.class_features()[1]).abs().max() > 1e-3


def test_gradients_reach_the_prompts_through_both_towers(
    tiny_vit_backbone: Backbone, inputs: Golden, texts: Texts
) -> None:
    learner = create_learner("maple", tiny_vit_backbone, texts["classnames"], depth=2)
    assert not learner.image_side_is_frozen
    learner.encode_images(inputs["images_vit"]).global_.sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in learner.parameters())


def test_the_towers_may_differ_in_width(texts: Texts, inputs: Golden) -> None:
    backbone = tiny_vit(192)
    learner = create_learner("maple", backbone, texts["classnames"], depth=3)
    assert learner.state_dict()["proj.weight"].shape == (192, 128)
    assert learner.state_dict()["deep_proj.weight"].shape == (2, 192, 128)
    learner.loss(inputs["images_vit"], inputs["labels_vit"].long()).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in learner.parameters())


@pytest.mark.parametrize("side", [64, 96])
def test_its_images_have_no_places(tiny_vit_backbone: Backbone, texts: Texts, side: int) -> None:
    learner = create_learner("maple", tiny_vit_backbone, texts["classnames"], depth=2)
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    features = learner.encode_images(images)
    assert features.global_.shape == (2, 64)
    assert features.local.shape == (2, 0, 64)
    assert torch.equal(learner(images), learner.logits_from(features))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 4}, "depth 4 is too large: the text tower of tiny_vit has 3 layers"),
        ({"depth": 0}, "option depth = 0"),
        ({"depth": 2.5}, "option depth = 2.5"),
        ({"n_ctx": 0}, "option n_ctx = 0"),
        ({"n_ctx": 80, "depth": 1}, "n_ctx 80 is too large"),
        ({"ctx_init": "", "depth": 1}, "has no words"),
    ],
)
def test_wrong_options_get_one_line(tiny_vit_backbone: Backbone, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        create_learner("maple", tiny_vit_backbone, ["cat"], **options)
    assert "\n" not in str(error.value)


def test_a_convolutional_image_tower_is_refused(tiny_rn_backbone: Backbone) -> None:
    with pytest.raises(UserError, match=r"maple needs a transformer image tower, .* tiny_rn has none"):
        create_learner("maple", tiny_rn_backbone, ["cat"])
