from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.learners import create_learner
from clipprompt.learners.vpt import VPT
from tests.conftest import Golden, assert_close
from tests.learners import _golden
from tests.learners._plain import plain_image_features, tiny_vit

DEPTHS = {"vpt_shallow": 1, "vpt_deep": 3}
Texts = dict[str, list[str]]


@pytest.fixture(params=DEPTHS)
def variant(
    request: pytest.FixtureRequest, tiny_vit_backbone: Backbone, texts: Texts, golden: Callable[[str], Golden]
) -> tuple[Any, Golden]:
    expected, options = golden(request.param), {"n_ctx": 4, "depth": DEPTHS[request.param]}
    return _golden.create_with("vpt", tiny_vit_backbone, texts["classnames"], expected, **options), expected


def test_forward_matches_golden(variant: tuple[VPT, Golden], inputs: Golden) -> None:
    learner, expected = variant
    _golden.check_forward(learner, inputs["images_vit"], expected)
    assert_close(learner.class_features(), expected["text_features"], _golden.FORWARD)


def test_gradients_match_golden(variant: tuple[VPT, Golden], inputs: Golden) -> None:
    _golden.check_gradients(variant[0], inputs["images_vit"], variant[1])


def test_five_steps_match_golden(variant: tuple[VPT, Golden], inputs: Golden) -> None:
    _golden.check_five_steps(variant[0], inputs["images_vit"], variant[1])


@pytest.mark.parametrize(
    ("variant_name", "start", "depth"),
    [("vpt_shallow", "vpt_shallow", 1), ("vpt_deep", "vpt_deep", 3), ("vpt_deep_2of3", "vpt_deep", 2)],
)
def test_rounded_to_float16_it_gives_the_numbers_with_casts(
    tiny_vit_backbone: Backbone,
    texts: Texts,
    inputs: Golden,
    golden: Callable[[str], Golden],
    variant_name: str,
    start: str,
    depth: int,
) -> None:
    learner = create_learner("vpt", tiny_vit_backbone, texts["classnames"], n_ctx=4, depth=depth)
    expected, starting = golden("asis_half_casts"), golden(start)
    learner.load_state_dict({key: starting[f"init/{key}"][: len(p)] for key, p in learner.named_parameters()})
    assert (learner(inputs["images_vit"]) - expected[f"{variant_name}/logits"]).abs().max() > 1e-4  # ours, unrounded
    _golden.check_half_casts(learner, inputs["images_vit"], expected, variant_name, starting)


@pytest.mark.parametrize("width", [128, 192])
@pytest.mark.parametrize("n_ctx", [1, 5])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_prompts_go_on_beyond_the_depth_in_towers_of_any_width(
    texts: Texts, inputs: Golden, depth: int, n_ctx: int, width: int
) -> None:
    backbone = tiny_vit(width)
    learner: Any = create_learner("vpt", backbone, texts["classnames"], n_ctx=n_ctx, depth=depth)
    assert learner.visual_ctx.shape == (n_ctx, width)
    assert (learner.deep_visual_ctx is None) == (depth == 1)
    with torch.no_grad():
        for parameter in learner.parameters():
            parameter.mul_(10)  # enough for the prompts to matter
    prompts = (learner.visual_ctx, learner.deep_visual_ctx)
    plain = plain_image_features(backbone, inputs["images_vit"], *prompts)
    assert_close(learner.encode_images(inputs["images_vit"]).global_, plain, 1e-5)
    loss = F.cross_entropy(backbone.logit_scale * plain @ learner.class_features().T, inputs["labels_vit"].long())
    expected = torch.autograd.grad(loss, list(learner.parameters()))
    learner.loss(inputs["images_vit"], inputs["labels_vit"].long()).backward()
    for parameter, gradient in zip(learner.parameters(), expected, strict=True):
        assert_close(parameter.grad, gradient, 1e-4)


@pytest.mark.parametrize("templates", ["a photo of a {}.", ["itap of a {}.", "art of the {}."], "oxford_pets"])
def test_its_text_side_is_zero_shots(tiny_vit_backbone: Backbone, texts: Texts, templates: Any) -> None:
    learner = create_learner("vpt", tiny_vit_backbone, texts["classnames"], depth=2, templates=templates)
    named = ["a photo of a {}, a type of pet."] if templates == "oxford_pets" else templates
    plain = create_learner("zero_shot", tiny_vit_backbone, texts["classnames"], templates=named)
    assert_close(learner.class_features(), plain.class_features(), 1e-6)
    assert not learner.text_features().requires_grad


def test_a_batch_equals_its_images_one_by_one(tiny_vit_backbone: Backbone, texts: Texts, inputs: Golden) -> None:
    learner = create_learner("vpt", tiny_vit_backbone, texts["classnames"], depth=3)
    one_by_one = torch.cat([learner(image[None]) for image in inputs["images_vit"]])
    assert_close(learner(inputs["images_vit"]), one_by_one, 1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "depth 12 is too large: the image tower of tiny_vit has 3 layers"),
        ({"depth": 0}, "option depth = 0"),
        ({"n_ctx": 0}, "option n_ctx = 0"),
        ({"depth": 1, "templates": ["a photo"]}, "'a photo' has no {}"),
        ({"depth": 1, "templates": []}, "option templates"),
    ],
)
def test_wrong_options_get_one_line(tiny_vit_backbone: Backbone, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        create_learner("vpt", tiny_vit_backbone, ["cat"], **options)
    assert "\n" not in str(error.value)


def test_a_convolutional_image_tower_is_refused(tiny_rn_backbone: Backbone) -> None:
    with pytest.raises(UserError, match=r"vpt needs a transformer image tower, .* tiny_rn has none"):
        create_learner("vpt", tiny_rn_backbone, ["cat"])
