"""LoRA in both towers of CLIP."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.learners import ImageFeatures, Learner, create_learner
from tests.conftest import Golden, assert_close

NAMES = ["cat", "traffic light", "hot_dog"]


def _learner(backbone: Backbone, **options: Any) -> Learner:
    learner = create_learner("clip_lora", backbone, NAMES, seed=1, **options)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in learner.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return learner


def _merged_by_hand(backbone: Backbone, learner: Learner, tower: str) -> list[torch.Tensor]:
    """The packed weights of a tower's blocks, with alpha / r B A added."""
    source = backbone.model.visual if tower == "image" else backbone.model
    packed = []
    for number, block in enumerate(source.transformer.resblocks):
        rows = []
        for letter, weight in zip("qkv", block.attn.in_proj_weight.chunk(3), strict=True):
            a, b = (learner.get_parameter(f"lora.{tower}/{number}/{letter}/{one}").detach() for one in "AB")
            rows.append(weight + learner.options.alpha / learner.options.rank * b @ a)  # type: ignore[attr-defined]
        packed.append(torch.cat(rows))
    return packed


@pytest.mark.parametrize("towers", ["both", "image", "text"])
def test_logits_are_those_of_clip_with_changed_weights(
    tiny_vit_backbone: Backbone, inputs: Golden, towers: str
) -> None:
    learner, changed = _learner(tiny_vit_backbone, towers=towers), tiny_vit_backbone.fork()
    for tower, source in (("image", changed.model.visual), ("text", changed.model)):
        if towers in ("both", tower):
            packed = _merged_by_hand(tiny_vit_backbone, learner, tower)
            for block, weight in zip(source.transformer.resblocks, packed, strict=True):
                block.attn.in_proj_weight = torch.nn.Parameter(weight, requires_grad=False)
    texts = changed.tokenize([f"a photo of a {name.replace('_', ' ')}." for name in NAMES])
    with torch.no_grad():
        image = F.normalize(changed.model.encode_image(inputs["images_vit"]), dim=-1)
        text = F.normalize(changed.model.encode_text(texts), dim=-1)
        expected = changed.logit_scale * image @ text.T
        assert_close(learner(inputs["images_vit"]), expected, 1e-5)
    assert_close(learner(inputs["images_vit"]), expected, 1e-5)
    assert learner.image_side_is_frozen == (towers == "text")


def test_it_starts_as_zero_shot_and_takes_other_class_names(tiny_vit_backbone: Backbone, inputs: Golden) -> None:
    learner = create_learner("clip_lora", tiny_vit_backbone, NAMES, templates=["a {}.", "my {}."])
    zero_shot = create_learner("zero_shot", tiny_vit_backbone, NAMES, templates=["a {}.", "my {}."])
    with torch.no_grad():
        for names in (NAMES, ["zebra", "okapi"]):
            learner.set_classes(names)
            zero_shot.set_classes(names)
            assert_close(learner(inputs["images_vit"]), zero_shot(inputs["images_vit"]), 1e-5)


def test_dropout_in_texts_computed_in_pieces_has_the_gradients_of_the_whole(
    tiny_vit_backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backward pass computes pieces again, and must drop what the forward pass dropped."""
    monkeypatch.setattr("clipprompt.backbone._text.POSITIONS_AT_ONCE", 8)
    learner = _learner(tiny_vit_backbone, towers="text", dropout=0.4)
    images = F.normalize(torch.randn(3, 64, generator=torch.Generator().manual_seed(0)), dim=-1)
    features = ImageFeatures(images, images.new_empty(3, 0, 64))
    key, labels, step = "lora.text/1/v/B", torch.tensor([0, 1, 2]), 1e-2
    learner.loss_from(features, labels).backward()
    gradient = learner.get_parameter(key).grad
    assert gradient is not None
    drawn = learner.gathered["dropout_steps"] - 1

    def loss_at(distance: float) -> float:
        learner.gathered["dropout_steps"] = drawn.clone()
        with torch.no_grad():
            learner.get_parameter(key).add_(distance * gradient / gradient.norm())
        value = learner.loss_from(features, labels).item()
        with torch.no_grad():
            learner.get_parameter(key).sub_(distance * gradient / gradient.norm())
        return value

    slope = (loss_at(step) - loss_at(-step)) / (2 * step)
    assert slope == pytest.approx(gradient.norm().item(), rel=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"towers": "vision"}, "clip_lora: option towers = 'vision'", id="unknown tower"),
        pytest.param({"rank": -2}, "clip_lora: option rank = -2", id="rank"),
        pytest.param({"layers": [0, 0]}, "clip_lora: layers 0, 0 names one twice", id="twice"),
    ],
)
def test_a_wrong_option_is_told_in_one_line(tiny_vit_backbone: Backbone, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        create_learner("clip_lora", tiny_vit_backbone, NAMES, **options)


def test_a_resnet_takes_it_in_the_text_tower_alone(tiny_rn_backbone: Backbone, inputs: Golden) -> None:
    with pytest.raises(UserError, match="attention needs a transformer image tower"):
        create_learner("clip_lora", tiny_rn_backbone, NAMES)
    learner = create_learner("clip_lora", tiny_rn_backbone, NAMES, towers="text")
    assert learner(inputs["images_rn"]).shape == (len(inputs["images_rn"]), 3)
