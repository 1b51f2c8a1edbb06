from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from clipprompt.backbone import Backbone
from clipprompt.backbone._vision import resize_positions
from clipprompt.errors import UserError
from clipprompt.learners import create_learner, load_learner
from clipprompt.learners._base import ImageFeatures
from clipprompt.learners.dualcoop import DualCoOp
from tests.conftest import Golden, assert_close
from tests.learners._golden import FORWARD, check_gradients, take_five_steps

FINAL = 2e-3  # five steps amplify rounding
VARIANTS = {"dualcoop": "images_rn", "dualcoop_160": "images_rn160"}
Texts = dict[str, list[str]]


def _create(backbone: Backbone, texts: Texts, state: Golden | None = None, **options: Any) -> DualCoOp:
    learner = create_learner("dualcoop", backbone, texts["classnames"], **{"n_ctx": 4, **options})
    assert isinstance(learner, DualCoOp)
    if state is not None:
        prompts = {key.removeprefix("init/"): value for key, value in state.items() if key.startswith("init/")}
        learner.load_state_dict(prompts, strict=True)
    return learner


@pytest.fixture(params=VARIANTS)
def variant(
    request: pytest.FixtureRequest,
    tiny_rn_backbone: Backbone,
    texts: Texts,
    inputs: Golden,
    golden: Callable[[str], Golden],
) -> tuple[DualCoOp, torch.Tensor, Golden]:
    expected = golden(request.param)
    return _create(tiny_rn_backbone, texts, expected), inputs[VARIANTS[request.param]], expected


def test_prompts_and_labels_are_the_golden_ones(variant: tuple[DualCoOp, torch.Tensor, Golden], inputs: Golden) -> None:
    learner, images, expected = variant
    assert torch.equal(expected["labels"], inputs["partial_rn_dualcoop"][: len(images)].long())
    positive, negative = expected["tokenized_prompts"].long().chunk(2)
    assert torch.equal(positive, negative)
    around = [learner.backbone.text.embed_tokens(row[: row.argmax() + 1]) for row in positive]
    start, suffix, ends = learner._prompts
    for expected_row, row, end in zip(around, suffix, ends, strict=True):
        assert torch.equal(torch.cat([start, row[: end + 1]]), torch.cat([expected_row[:1], expected_row[5:]]))


def test_positions_match_golden(variant: tuple[DualCoOp, torch.Tensor, Golden]) -> None:
    learner, images, expected = variant
    positions = learner.backbone.model.visual.attnpool.positional_embedding
    resized = resize_positions(positions, (4, 4), learner.backbone.vision.trunk(images).grid)
    assert_close(resized[:, ::16], expected["attn_positional_embedding_every16"], FORWARD)


def test_forward_matches_golden(variant: tuple[DualCoOp, torch.Tensor, Golden]) -> None:
    learner, images, expected = variant
    positive, negative = learner.text_features()
    assert_close(positive, expected["text_features_pos"], FORWARD)
    assert_close(negative, expected["text_features_neg"], FORWARD)
    assert_close(learner.encode_images(images).local.transpose(1, 2), expected["image_features"], FORWARD)
    assert_close(learner.pair_logits(images), expected["logits"], FORWARD)
    assert_close(learner(images).sigmoid(), expected["prob_positive"], FORWARD)


def test_gradients_match_golden(variant: tuple[DualCoOp, torch.Tensor, Golden]) -> None:
    learner, images, expected = variant
    assert learner.options.loss_weight == pytest.approx(float(expected["loss_weight"]))
    check_gradients(learner, images, expected)


def test_five_steps_match_golden(variant: tuple[DualCoOp, torch.Tensor, Golden]) -> None:
    learner, images, expected = variant
    take_five_steps(learner, images, expected, FINAL)
    assert_close(learner.pair_logits(images), expected["logits_final"], FINAL)


def _plain_pair(learner: DualCoOp, images: torch.Tensor) -> torch.Tensor:
    """One image, class and region after another."""
    regions, (positive, negative) = learner.encode_images(images).local, learner.text_features()
    logits = torch.zeros(len(images), 2, len(positive))
    for image in range(len(images)):
        for c in range(len(positive)):
            present = torch.stack([20 * region @ positive[c] for region in regions[image]])
            absent = torch.stack([20 * region @ negative[c] for region in regions[image]])
            weight = present.exp() / present.exp().sum()
            logits[image, 0, c], logits[image, 1, c] = 5 * (absent * weight).sum(), 5 * (present * weight).sum()
    return logits


@pytest.mark.parametrize("options", [{}, {"class_specific": True}, {"ctx_init_neg": "not a photo of any"}], ids=str)
def test_logits_equal_region_after_region(
    tiny_backbone: Backbone, texts: Texts, inputs: Golden, options: dict[str, Any]
) -> None:
    learner = _create(tiny_backbone, texts, **options)
    images = inputs["images_vit" if tiny_backbone.image_size == 64 else "images_rn"]
    assert_close(learner.pair_logits(images), _plain_pair(learner, images), 1e-5)


def test_words_of_different_length_say_what_the_words_say(tiny_rn_backbone: Backbone, texts: Texts) -> None:
    words = {"ctx_init_pos": "a photo of a", "ctx_init_neg": "not a photo of any"}
    learner = _create(tiny_rn_backbone, texts, **words)
    assert [len(p) for p in learner.parameters()] == [4, 5]
    for ours, sentence in zip(learner.text_features(), words.values(), strict=True):
        plain = create_learner("zero_shot", tiny_rn_backbone, texts["classnames"], templates=f"{sentence} {{}}.")
        assert_close(ours, plain.class_features(), 1e-5)


def test_words_start_class_specific_contexts_too(tiny_rn_backbone: Backbone, texts: Texts) -> None:
    learner = _create(tiny_rn_backbone, texts, class_specific=True, ctx_init_pos="a photo of a")
    assert torch.equal(learner.ctx_pos[0], learner.ctx_pos[6])
    assert not torch.equal(learner.ctx_neg[0], learner.ctx_neg[6])


def test_regions_are_the_mean_token_and_the_places_with_positions(tiny_rn_backbone: Backbone, inputs: Golden) -> None:
    learner = create_learner("dualcoop", tiny_rn_backbone, ["cat"], n_ctx=1)
    images, pool = inputs["images_rn"], tiny_rn_backbone.model.visual.attnpool
    states = tiny_rn_backbone.vision.trunk(images).states
    states = torch.cat([states.mean(dim=1, keepdim=True), states], dim=1) + pool.positional_embedding
    expected = F.normalize(pool.c_proj(pool.v_proj(states)), dim=-1)
    assert_close(learner.encode_images(images).local, expected, 1e-6)


def test_of_a_vit_the_regions_are_the_image_and_its_places(tiny_vit_backbone: Backbone, inputs: Golden) -> None:
    regions = create_learner("dualcoop", tiny_vit_backbone, ["cat"], n_ctx=1).encode_images(inputs["images_vit"]).local
    plain = create_learner("zero_shot", tiny_vit_backbone, ["cat"]).encode_images(inputs["images_vit"])
    assert_close(regions[:, 0], plain.global_, 1e-6)
    assert torch.equal(regions[:, 1:], plain.local)


def test_the_map_leaves_the_mean_token_out(tiny_rn_backbone: Backbone, texts: Texts, inputs: Golden) -> None:
    learner = _create(tiny_rn_backbone, texts)
    features = learner.encode_images(inputs["images_rn"])
    cosines = learner.local_logits_map(features)
    assert cosines.shape == (4, 16, 7)
    assert_close(cosines[2, 5], features.local[2, 6] @ learner.class_features().T, 1e-6)


@pytest.mark.parametrize("negative", [True, False])
def test_unknown_labels_enter_no_loss_and_no_gradient(
    tiny_rn_backbone: Backbone, texts: Texts, inputs: Golden, negative: bool
) -> None:
    learner = _create(tiny_rn_backbone, texts, class_specific=True, negative=negative, logit_scale=20.0)
    labels = torch.full((4, 7), -1)
    labels[:, :3] = inputs["multilabels_rn"][:, :3].long()
    learner.loss(inputs["images_rn"], labels).backward()
    for parameter in learner.parameters():
        assert parameter.grad is not None
        assert (parameter.grad[:3].abs().amax(dim=(1, 2)) > 0).all()
        assert parameter.grad[3:].abs().max() == 0


def test_class_specific_contexts_go_with_their_classes(
    tiny_rn_backbone: Backbone, texts: Texts, inputs: Golden, tmp_path: Path
) -> None:
    learner = _create(tiny_rn_backbone, texts, class_specific=True)
    learner.save(tmp_path)
    some = load_learner(tmp_path, tiny_rn_backbone, ["person", "cat"])
    assert_close(some(inputs["images_rn"]), learner(inputs["images_rn"])[:, [4, 0]], 1e-5)
    with pytest.raises(UserError, match="made for 7 classes and cannot serve 1"):
        learner.set_classes(["okapi"])


@pytest.mark.parametrize("option", ["ctx_init_pos", "ctx_init_neg"])
def test_the_longer_context_decides_what_fits(tiny_rn_backbone: Backbone, option: str) -> None:
    with pytest.raises(UserError, match="too long: with 60 context vectors"):
        create_learner("dualcoop", tiny_rn_backbone, ["word " * 20], n_ctx=4, **{option: "dog " * 60})


def test_without_a_negative_prompt_the_positive_one_answers(
    tiny_rn_backbone: Backbone, texts: Texts, inputs: Golden, golden: Callable[[str], Golden]
) -> None:
    both, alone = _create(tiny_rn_backbone, texts, golden("dualcoop")), _create(tiny_rn_backbone, texts, negative=False)
    alone.load_state_dict({"ctx_pos": both.ctx_pos.detach()}, strict=True)
    images = inputs["images_rn"]
    assert_close(alone(images), both.pair_logits(images)[:, 1].detach(), 1e-6)
    absent, present = alone.pair_logits(images).unbind(dim=1)
    assert absent.abs().max() == 0
    assert torch.equal(present, alone(images))
    whole = 100 * alone.encode_images(images).global_ @ alone.class_features().T
    assert_close(alone.image_logits(images).global_, whole.detach(), 1e-6)


def test_loss_without_a_negative_prompt_matches_golden(
    tiny_rn_backbone: Backbone, texts: Texts, golden: Callable[[str], Golden], monkeypatch: pytest.MonkeyPatch
) -> None:
    learner, expected = _create(tiny_rn_backbone, texts, negative=False, loss_weight=1.0), golden("losses_dualcoop")
    logits = expected["x"].clone().requires_grad_()
    name, features = "asl_sigmoid_positive_prompt_only", ImageFeatures(torch.empty(6, 0), torch.empty(6, 0, 0))
    monkeypatch.setattr("clipprompt.learners._pair.local_pair_cosines", lambda *_: logits[:, None] / 100)
    loss = learner.loss_from(features, expected["y01"])
    loss.backward()
    assert_close(loss, expected[f"{name}/value"], 1e-6)
    assert logits.grad is not None
    assert_close(logits.grad, expected[f"{name}/grad"], 1e-5)
    # The original does not mask: its number for the same logits with unknown labels is another.
    partial = learner.loss_from(features, expected["y_partial"])
    assert abs(float(partial.detach() - expected["asl_sigmoid_unmasked_unknown_labels/value"])) > 1


def test_words_for_a_prompt_that_is_not_learnt_are_refused(tiny_rn_backbone: Backbone, texts: Texts) -> None:
    with pytest.raises(UserError, match="ctx_init_neg 'no photo of a' needs negative=True"):
        _create(tiny_rn_backbone, texts, negative=False, ctx_init_neg="no photo of a")
