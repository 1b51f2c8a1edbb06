from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.learners import create_learner
from clipprompt.learners.tai_dpt import TaIDPT
from tests.conftest import Golden, assert_close

FORWARD, GRAD, CURVE, FINAL = 1e-4, 2e-4, 5e-4, 2e-3
VARIANTS: dict[str, dict[str, Any]] = {
    "tai_dpt": {},
    "tai_dpt_asl": {"loss": "asl"},
    "tai_dpt_bce": {"loss": "bce"},
    "tai_dpt_single_ranking": {"loss": "single_ranking"},
}
Texts = dict[str, list[str]]


def _create(backbone: Backbone, texts: Texts, state: Golden | None = None, **options: Any) -> TaIDPT:
    learner = create_learner("tai_dpt", backbone, texts["classnames"], **{"n_ctx": 4, **options})
    assert isinstance(learner, TaIDPT)
    if state is not None:
        prompts = {key.removeprefix("init/"): value for key, value in state.items() if key.startswith("init/")}
        learner.load_state_dict({key: prompts[key] for key in learner.state_dict()}, strict=True)
    return learner


@pytest.fixture(params=VARIANTS)
def variant(
    request: pytest.FixtureRequest, tiny_rn_backbone: Backbone, texts: Texts, golden: Callable[[str], Golden]
) -> tuple[TaIDPT, Golden]:
    expected = golden(request.param)
    return _create(tiny_rn_backbone, texts, expected, **VARIANTS[request.param]), expected


def _check_logits(learner: TaIDPT, inputs: Golden, expected: Golden, suffix: str, tolerance: float) -> None:
    with torch.no_grad():
        captions = learner.caption_logits(inputs["caption_tokens"])
        images = learner.image_logits(inputs["images_rn"])
    assert_close(captions.global_, expected[f"caption/logits_global{suffix}"], tolerance)
    assert_close(captions.local, expected[f"caption/logits_local{suffix}"], tolerance)
    assert_close(images.global_, expected[f"image/logits_global{suffix}"], tolerance)
    assert_close(images.local, expected[f"image/logits_local{suffix}"], tolerance)
    assert_close(images.merged, expected[f"image/logits_merged{suffix}"], tolerance)


def test_forward_matches_golden(variant: tuple[TaIDPT, Golden], inputs: Golden) -> None:
    learner, expected = variant
    _check_logits(learner, inputs, expected, "", FORWARD)
    features = learner.text_features()
    assert_close(features[0], expected["text_features"], FORWARD)
    assert_close(features[1], expected["text_features_local"], FORWARD)
    assert torch.equal(learner(inputs["images_rn"]), learner.image_logits(inputs["images_rn"]).merged)


def test_gradients_match_golden(variant: tuple[TaIDPT, Golden], inputs: Golden) -> None:
    learner, expected = variant
    loss = learner.loss(inputs["caption_tokens"], inputs["caption_labels"].float())
    loss.backward()
    assert_close(loss, expected["loss"], FORWARD)
    for name, parameter in learner.named_parameters():
        if f"grad/{name}" in expected:
            assert parameter.grad is not None
            assert_close(parameter.grad, expected[f"grad/{name}"], GRAD)
        else:
            assert parameter.grad is None


def test_five_steps_match_golden(variant: tuple[TaIDPT, Golden], inputs: Golden) -> None:
    learner, expected = variant
    optimizer = torch.optim.SGD(learner.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    tokens, labels = inputs["caption_tokens"], inputs["caption_labels"].float()
    curve = []
    for _ in range(5):
        loss = learner.loss(tokens, labels)
        curve.append(loss.detach())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    assert_close(torch.stack(curve), expected["loss_curve"], CURVE)
    assert_close(learner.loss(tokens, labels), expected["loss_final"], FINAL)
    for name, parameter in learner.named_parameters():
        assert_close(parameter, expected[f"final/{name}"], FINAL)
    _check_logits(learner, inputs, expected, "_final", FINAL)


@pytest.mark.parametrize("scale", [40, 4])
def test_image_scales_match_golden(
    tiny_rn_backbone: Backbone, inputs: Golden, texts: Texts, golden: Callable[[str], Golden], scale: int
) -> None:
    expected = golden("tai_dpt")
    learner = _create(tiny_rn_backbone, texts, expected, spatial_scale_image=scale)
    assert_close(
        learner.image_logits(inputs["images_rn"]).local,
        expected[f"image/logits_local_spatial_scale_{scale}"],
        FORWARD,
    )


def test_larger_images_match_golden(
    tiny_rn_backbone: Backbone, inputs: Golden, texts: Texts, golden: Callable[[str], Golden]
) -> None:
    expected = golden("tai_dpt")
    logits = _create(tiny_rn_backbone, texts, expected).image_logits(inputs["images_rn160"])
    assert_close(logits.global_, expected["image160/logits_global"], FORWARD)
    assert_close(logits.local, expected["image160/logits_local"], FORWARD)


def test_cached_captions_give_the_loss_of_whole_captions(tiny_backbone: Backbone, inputs: Golden, texts: Texts) -> None:
    learner = _create(tiny_backbone, texts)
    labels = inputs["caption_labels"].float()
    direct = learner.loss(inputs["caption_tokens"], labels)
    cached = learner.loss_from(learner.encode_captions(inputs["caption_tokens"]), labels)
    assert torch.equal(direct, cached)


def test_an_exclamation_mark_inside_a_caption_is_no_padding(tiny_rn_backbone: Backbone, texts: Texts) -> None:
    """Token id 0 is the padding and also the "!" of a run such as "!~"; the original masks it inside the caption."""
    learner = _create(tiny_rn_backbone, texts)
    tokens = tiny_rn_backbone.tokenize(["a dog !~ runs"])
    end = int(tiny_rn_backbone.text.end_positions(tokens))
    assert 0 in tokens[0, :end].tolist()
    assert int(learner.encode_captions(tokens).lengths) == end + 1


def test_learnt_scales_replace_the_fixed_ones(tiny_rn_backbone: Backbone, inputs: Golden, texts: Texts) -> None:
    learner = _create(tiny_rn_backbone, texts, learn_scales=True)
    assert set(dict(learner.named_parameters())) == {"ctx", "ctx_local", "temperature", "spatial_temperature"}
    scale = float(torch.tensor(3.0).exp())
    fixed = _create(tiny_rn_backbone, texts, logit_scale=scale, spatial_scale_text=scale, spatial_scale_image=scale)
    assert_close(learner(inputs["images_rn"]), fixed(inputs["images_rn"]), 1e-5)
    learner.loss(inputs["caption_tokens"], inputs["caption_labels"].float()).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in learner.parameters())


def test_class_specific_contexts_equal_the_unified_one_when_they_are_alike(
    tiny_rn_backbone: Backbone, inputs: Golden, texts: Texts, golden: Callable[[str], Golden]
) -> None:
    expected = golden("tai_dpt")
    unified = _create(tiny_rn_backbone, texts, expected)
    specific = _create(tiny_rn_backbone, texts, class_specific=True)
    specific.load_state_dict({key: value.expand(7, -1, -1) for key, value in unified.state_dict().items()})
    assert_close(specific(inputs["images_rn"]), unified(inputs["images_rn"]), 1e-5)


def test_words_start_both_contexts(tiny_rn_backbone: Backbone, texts: Texts) -> None:
    learner = _create(tiny_rn_backbone, texts, ctx_init="a photo of a")
    plain = create_learner("zero_shot", tiny_rn_backbone, texts["classnames"])
    assert learner.ctx.shape == learner.ctx_local.shape == (4, 128)
    assert_close(learner.class_features(), plain.class_features(), 1e-5)


def test_a_split_word_brings_as_many_vectors_as_it_has_tokens(tiny_rn_backbone: Backbone, texts: Texts) -> None:
    assert _create(tiny_rn_backbone, texts, ctx_init="an aquarelle of a").ctx.shape[0] == 6


def test_training_on_labelled_images_moves_the_loss_down(
    tiny_rn_backbone: Backbone, inputs: Golden, texts: Texts
) -> None:
    learner = _create(tiny_rn_backbone, texts)
    features, labels = learner.encode_images(inputs["images_rn"]), inputs["multilabels_rn"].float()
    optimizer = torch.optim.SGD(learner.parameters(), lr=0.05)
    first = learner.loss_from(features, labels)
    for _ in range(10):
        optimizer.zero_grad()
        learner.loss_from(features, labels).backward()
        optimizer.step()
    assert learner.loss_from(features, labels) < first


def test_class_specific_contexts_refuse_another_number_of_classes(tiny_rn_backbone: Backbone, texts: Texts) -> None:
    learner = _create(tiny_rn_backbone, texts, class_specific=True)
    with pytest.raises(UserError, match="made for 7 classes and cannot serve 2"):
        learner.set_classes(["zebra", "okapi"])


def test_class_numbers_are_labels_too(tiny_rn_backbone: Backbone, inputs: Golden, texts: Texts) -> None:
    learner, numbers = _create(tiny_rn_backbone, texts), torch.tensor([0, 3, 6, 2, 5, 1])
    rows = torch.eye(7)[numbers]
    assert torch.equal(learner.loss(inputs["caption_tokens"], numbers), learner.loss(inputs["caption_tokens"], rows))


@pytest.mark.parametrize("labels", [torch.zeros(6, 3), torch.zeros(6), torch.tensor([0, 1, 2, 3, 4, 7])])
def test_labels_that_do_not_fit_get_one_line(
    tiny_rn_backbone: Backbone, inputs: Golden, texts: Texts, labels: torch.Tensor
) -> None:
    with pytest.raises(UserError, match="labels"):
        _create(tiny_rn_backbone, texts).loss(inputs["caption_tokens"], labels)


def test_too_many_contexts_are_named(tiny_rn_backbone: Backbone, texts: Texts) -> None:
    with pytest.raises(UserError, match="n_ctx 75 is too large: the text tower has 77 tokens"):
        _create(tiny_rn_backbone, texts, n_ctx=75)


def test_merged_is_the_mean_of_both_branches(tiny_backbone: Backbone, inputs: Golden, texts: Texts) -> None:
    learner = _create(tiny_backbone, texts)
    images = inputs["images_vit" if tiny_backbone.image_size == 64 else "images_rn"]
    logits = learner.image_logits(images)
    assert torch.equal(logits.merged, (logits.global_ + logits.local) / 2)


def test_the_map_of_places_pools_to_the_local_branch(tiny_backbone: Backbone, inputs: Golden, texts: Texts) -> None:
    learner = _create(tiny_backbone, texts)
    features = learner.encode_images(inputs["images_vit" if tiny_backbone.image_size == 64 else "images_rn"])
    cosines = learner.local_logits_map(features)
    assert cosines.shape == (len(features.global_), features.local.shape[1], len(texts["classnames"]))
    pooled = (cosines * (50 * cosines).softmax(dim=1)).sum(dim=1)
    assert_close(4 * pooled, learner.branch_logits_from(features).local, 1e-6)
