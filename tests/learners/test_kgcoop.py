from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.learners import create_learner
from clipprompt.learners.kgcoop import KgCoOp
from tests.conftest import Golden, assert_close

Texts = dict[str, list[str]]


def _create(backbone: Backbone, names: list[str], **options: Any) -> KgCoOp:
    learner = create_learner("kgcoop", backbone, names, **options)
    assert isinstance(learner, KgCoOp)
    return learner


def _plain_loss(learner: KgCoOp, inputs: Golden, template: str) -> torch.Tensor:
    """The paper's loss, class after class and image after image."""
    backbone, names = learner.backbone, [name.replace("_", " ") for name in learner.classnames]
    written = backbone.encode_text(backbone.tokenize([template.replace("{}", name) for name in names]))
    images = backbone.encode_image(inputs["images_vit"])
    learnt, loss = learner.class_features(), torch.zeros(())
    for image, label in zip(images, inputs["labels_vit"].tolist(), strict=True):
        logits = torch.stack([backbone.logit_scale * torch.cosine_similarity(image, text, dim=0) for text in learnt])
        loss = loss - logits.log_softmax(dim=0)[label] / len(images)
    for ours, theirs in zip(learnt, written, strict=True):
        cosine = torch.cosine_similarity(ours, theirs, dim=0)
        loss = loss + learner.options.distance_weight * (2 - 2 * cosine) / len(names)
    return loss


@pytest.mark.parametrize(
    "options", [{}, {"distance_weight": 3.0}, {"class_specific": True}, {"class_token_position": "middle"}]
)
def test_loss_and_gradient_equal_the_papers_written_out(
    tiny_vit_backbone: Backbone, texts: Texts, inputs: Golden, options: dict[str, Any]
) -> None:
    learner = _create(tiny_vit_backbone, texts["classnames"], ctx_init=None, seed=5, **options)
    torch.nn.init.normal_(learner.ctx, std=0.2, generator=torch.Generator().manual_seed(1))
    ours = learner.loss(inputs["images_vit"], inputs["labels_vit"])
    plain = _plain_loss(learner, inputs, "a photo of a {}.")
    assert_close(ours, plain, 1e-5)
    gradients = [torch.autograd.grad(loss, learner.ctx)[0] for loss in (ours, plain)]
    assert_close(gradients[0], gradients[1], 1e-5)


def test_without_a_weight_it_is_coop(tiny_vit_backbone: Backbone, texts: Texts, inputs: Golden) -> None:
    learner = _create(tiny_vit_backbone, texts["classnames"], distance_weight=0.0)
    coop = create_learner("coop", tiny_vit_backbone, texts["classnames"], ctx_init="a photo of a")
    batch = inputs["images_vit"], inputs["labels_vit"]
    assert_close(learner.loss(*batch), coop.loss(*batch), 1e-6)


def test_it_starts_at_the_sentence_that_it_is_held_to(
    tiny_vit_backbone: Backbone, texts: Texts, inputs: Golden
) -> None:
    learner = _create(tiny_vit_backbone, texts["classnames"])
    assert_close(learner.class_features(), learner.written_features(), 1e-5)
    held = learner.loss(inputs["images_vit"], inputs["labels_vit"])
    assert_close(held, F.cross_entropy(learner(inputs["images_vit"]), inputs["labels_vit"]), 1e-5)


def test_a_larger_weight_holds_it_nearer(tiny_vit_backbone: Backbone, texts: Texts, inputs: Golden) -> None:
    distances = []
    for weight in (0.0, 1.0, 8.0):
        learner = _create(tiny_vit_backbone, texts["classnames"], distance_weight=weight)
        optimizer = torch.optim.SGD(learner.parameters(), lr=1e-3)
        for _ in range(10):
            optimizer.zero_grad()
            learner.loss(inputs["images_vit"], inputs["labels_vit"]).backward()
            optimizer.step()
        with torch.no_grad():
            distances.append(float((learner.class_features() - learner.written_features()).norm()))
    assert distances[0] > distances[1] > distances[2] > 0


def test_sentences_are_those_of_zero_shot_and_follow_the_classes(tiny_vit_backbone: Backbone) -> None:
    templates = ("oxford_pets", "my {}.")
    learner = _create(tiny_vit_backbone, ["cat", "dog"], templates=templates)
    for names in (["cat", "dog"], ["zebra", "okapi", "gnu"]):
        learner.set_classes(names)
        plain = create_learner("zero_shot", tiny_vit_backbone, names, templates=templates)
        assert torch.equal(learner.written_features(), plain.class_features())


def test_what_sentences_say_moves_along_and_follows_the_weights(tiny_vit_backbone: Backbone) -> None:
    backbone = Backbone.from_open_clip(copy.deepcopy(tiny_vit_backbone.model), tiny_vit_backbone.tokenizer)
    learner = _create(backbone, ["cat", "dog"])
    before = learner.written_features()
    with torch.no_grad():
        backbone.model.text_projection.neg_()
    learner.set_classes(["cat", "dog"])
    assert_close(learner.written_features(), -before, 1e-6)
    assert learner.to("meta").written_features().is_meta


def test_a_prompt_in_use_does_not_encode_the_sentences(
    tiny_vit_backbone: Backbone, inputs: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Backbone, "encode_text", None)
    assert _create(tiny_vit_backbone, ["cat", "dog"])(inputs["images_vit"]).shape == (5, 2)


def test_unknown_templates_are_named_at_once(tiny_vit_backbone: Backbone) -> None:
    with pytest.raises(UserError, match="did you mean 'oxford_pets'"):
        _create(tiny_vit_backbone, ["cat"], templates="oxfordpets")
