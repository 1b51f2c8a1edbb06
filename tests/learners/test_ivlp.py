from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.learners import create_learner
from clipprompt.learners.ivlp import IVLP
from tests.conftest import Golden, assert_close
from tests.learners import _golden
from tests.learners._plain import plain_image_features, plain_text_features, tiny_vit

OPTIONS = {
    "ivlp": {"n_ctx_text": 2, "n_ctx_visual": 2, "depth_text": 3, "depth_visual": 3},
    "ivlp_text_only": {"n_ctx_text": 4, "depth_text": 3, "depth_visual": 0},
}
Texts = dict[str, list[str]]


@pytest.fixture(params=OPTIONS)
def variant(
    request: pytest.FixtureRequest, tiny_vit_backbone: Backbone, texts: Texts, golden: Callable[[str], Golden]
) -> tuple[Any, Golden]:
    expected, names = golden(request.param), texts["classnames"]
    return _golden.create_with("ivlp", tiny_vit_backbone, names, expected, **OPTIONS[request.param]), expected


def test_forward_matches_golden(variant: tuple[IVLP, Golden], inputs: Golden) -> None:
    learner, expected = variant
    _golden.check_forward(learner, inputs["images_vit"], expected)
    assert_close(learner.class_features(), expected["text_features"], _golden.FORWARD)


def test_prompts_are_assembled_as_in_golden(
    variant: tuple[IVLP, Golden], tiny_vit_backbone: Backbone, texts: Texts
) -> None:
    learner, expected = variant
    start, suffix, ends = learner._prompts
    left = torch.cat([start, learner.ctx, learner._left_over])
    for row, (name, end) in enumerate(zip(texts["classnames"], ends.tolist(), strict=True)):
        ours = torch.cat([left, suffix[row, : end + 1]])
        assert_close(ours, expected["prompts_head"][row, : len(ours)], _golden.FORWARD)
        tokens = tiny_vit_backbone.tokenize([f"a photo of a {name.replace('_', ' ')}."])[0]
        assert torch.equal(tokens, expected["tokenized_prompts"][row].long())
        assert int(tokens.argmax()) == len(ours) - 1


def test_gradients_match_golden(variant: tuple[IVLP, Golden], inputs: Golden) -> None:
    _golden.check_gradients(variant[0], inputs["images_vit"], variant[1])


def test_five_steps_match_golden(variant: tuple[IVLP, Golden], inputs: Golden) -> None:
    _golden.check_five_steps(variant[0], inputs["images_vit"], variant[1])


@pytest.mark.parametrize(
    ("variant_name", "start", "options"),
    [
        ("ivlp", "ivlp", {}),
        ("ivlp_v2_t3", "ivlp", {"depth_visual": 2}),
        ("ivlp_text_only", "ivlp_text_only", {}),
    ],
)
def test_rounded_to_float16_it_gives_the_numbers_with_casts(
    tiny_vit_backbone: Backbone,
    texts: Texts,
    inputs: Golden,
    golden: Callable[[str], Golden],
    variant_name: str,
    start: str,
    options: dict[str, int],
) -> None:
    """The fourth variant there, with four random vectors, comes without the prompts that it starts from."""
    learner = create_learner("ivlp", tiny_vit_backbone, texts["classnames"], **{**OPTIONS[start], **options})
    expected, starting = golden("asis_half_casts"), golden(start)
    learner.load_state_dict({key: starting[f"init/{key}"][: len(p)] for key, p in learner.named_parameters()})
    assert (learner(inputs["images_vit"]) - expected[f"{variant_name}/logits"]).abs().max() > 1e-4  # ours, unrounded
    _golden.check_half_casts(learner, inputs["images_vit"], expected, variant_name, starting)


@pytest.mark.parametrize("width", [128, 192])
@pytest.mark.parametrize("depths", [(1, 1), (1, 3), (2, 2), (3, 1), (3, 3)])
@pytest.mark.parametrize("n_ctx", [(1, 3), (4, 2)])
def test_prompts_go_on_beyond_the_depth_on_both_sides(
    texts: Texts, inputs: Golden, n_ctx: tuple[int, int], depths: tuple[int, int], width: int
) -> None:
    backbone, names = tiny_vit(width), texts["classnames"]
    sizes = {"n_ctx_text": n_ctx[0], "n_ctx_visual": n_ctx[1], "depth_text": depths[0], "depth_visual": depths[1]}
    learner: Any = create_learner("ivlp", backbone, names, **sizes)
    with torch.no_grad():
        for key, parameter in learner.named_parameters():
            parameter.mul_(1 if key == "ctx" else 10)  # enough for the prompts to matter
    images = plain_image_features(backbone, inputs["images_vit"], learner.visual_ctx, learner.deep_visual_ctx)
    sentences = [f"a photo of a {name.replace('_', ' ')}." for name in names]
    classes = plain_text_features(backbone, sentences, learner.ctx, learner.deep_ctx)
    assert_close(learner.encode_images(inputs["images_vit"]).global_, images, 1e-5)
    assert_close(learner.class_features(), classes, 1e-5)
    loss = F.cross_entropy(backbone.logit_scale * images @ classes.T, inputs["labels_vit"].long())
    expected = torch.autograd.grad(loss, list(learner.parameters()))
    learner.loss(inputs["images_vit"], inputs["labels_vit"].long()).backward()
    for parameter, gradient in zip(learner.parameters(), expected, strict=True):
        assert_close(parameter.grad, gradient, 1e-4)


def test_without_prompts_in_the_image_tower_its_image_side_is_frozen(
    tiny_vit_backbone: Backbone, tiny_rn_backbone: Backbone, texts: Texts, inputs: Golden
) -> None:
    for backbone, images in ((tiny_vit_backbone, inputs["images_vit"]), (tiny_rn_backbone, inputs["images_rn"])):
        learner = create_learner("ivlp", backbone, texts["classnames"], **OPTIONS["ivlp_text_only"])
        plain = create_learner("zero_shot", backbone, texts["classnames"])
        assert set(learner.state_dict()) == {"ctx", "deep_ctx"}
        assert learner.image_side_is_frozen
        assert torch.equal(learner.encode_images(images).global_, plain.encode_images(images).global_)
    prompted = create_learner("ivlp", tiny_vit_backbone, texts["classnames"], **OPTIONS["ivlp"])
    assert not prompted.image_side_is_frozen


def test_a_batch_equals_its_images_one_by_one(tiny_vit_backbone: Backbone, texts: Texts, inputs: Golden) -> None:
    learner = create_learner("ivlp", tiny_vit_backbone, texts["classnames"], **OPTIONS["ivlp"])
    one_by_one = torch.cat([learner(image[None]) for image in inputs["images_vit"]])
    assert_close(learner(inputs["images_vit"]), one_by_one, 1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "depth_text 9 is too large: the text tower of tiny_vit has 3 layers"),
        ({"depth_text": 3}, "depth_visual 9 is too large: the image tower of tiny_vit has 3 layers"),
        ({"depth_text": 0}, "option depth_text = 0"),
        ({"depth_visual": -1}, "option depth_visual = -1"),
        ({"n_ctx_visual": 0}, "option n_ctx_visual = 0"),
        ({"n_ctx_text": 80, "depth_text": 1, "depth_visual": 1}, "n_ctx 80 is too large"),
    ],
)
def test_wrong_options_get_one_line(tiny_vit_backbone: Backbone, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        create_learner("ivlp", tiny_vit_backbone, ["cat"], **options)
    assert "\n" not in str(error.value)


def test_a_convolutional_image_tower_is_refused(tiny_rn_backbone: Backbone) -> None:
    with pytest.raises(UserError, match=r"ivlp needs a transformer image tower, .* tiny_rn has none"):
        create_learner("ivlp", tiny_rn_backbone, ["cat"], depth_text=2, depth_visual=2)
