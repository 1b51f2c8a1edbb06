from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from clipprompt.backbone import Backbone
from clipprompt.learners import create_learner
from clipprompt.learners.prograd import ProGrad, project
from tests.conftest import Golden, assert_close

Texts = dict[str, list[str]]
ALIKE, AGAINST = "alike", "against"  # how the two gradients of a batch point


def _create(backbone: Backbone, names: list[str], **options: Any) -> ProGrad:
    learner = create_learner("prograd", backbone, names, **{"n_ctx": 4, **options})
    assert isinstance(learner, ProGrad)
    torch.nn.init.normal_(learner.ctx, std=0.2, generator=torch.Generator().manual_seed(1))
    return learner


def _labels(learner: ProGrad, images: Tensor, kind: str) -> Tensor:
    """Class numbers for the images, with which the two gradients point as asked."""
    for seed in range(100):
        numbers = torch.randint(len(learner.classnames), (len(images),), generator=torch.Generator().manual_seed(seed))
        descent, guide = _plain_gradients(learner, images, numbers)
        cosine = torch.cosine_similarity(descent.flatten(), guide.flatten(), dim=0)
        if (cosine < -0.2) if kind == AGAINST else (cosine > 0.2):
            return numbers
    raise AssertionError


def _plain_gradients(learner: ProGrad, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of the cross-entropy and of the divergence, each by a forward and a backward pass of its own."""
    warmth = learner.options.temperature
    plain = create_learner("zero_shot", learner.backbone, learner.classnames)(images)
    (descent,) = torch.autograd.grad(F.cross_entropy(learner(images), labels), learner.ctx)
    log_learnt = (learner(images) / warmth).log_softmax(dim=-1)
    divergence = F.kl_div(log_learnt, (plain / warmth).softmax(dim=-1), reduction="batchmean")
    (guide,) = torch.autograd.grad(divergence, learner.ctx)
    return descent, guide


def _plain_projection(descent: Tensor, guide: Tensor, share: float) -> Tensor:
    along = sum(float(a) * float(b) for a, b in zip(descent.flatten(), guide.flatten(), strict=True))
    if along >= 0:
        return descent
    return descent - share * along / float(guide.double().square().sum()) * guide


@pytest.mark.parametrize("kind", [ALIKE, AGAINST])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"projection": 0.3},
        {"temperature": 4.0},
        {"class_specific": True},
        {"class_token_position": "front"},
    ],
)
def test_gradient_equals_explicit_projection(
    tiny_vit_backbone: Backbone, texts: Texts, inputs: Golden, options: dict[str, Any], kind: str
) -> None:
    learner, images = _create(tiny_vit_backbone, texts["classnames"], **options), inputs["images_vit"]
    labels = _labels(learner, images, kind)
    descent, guide = _plain_gradients(learner, images, labels)
    if kind == ALIKE:
        assert torch.equal(_plain_projection(descent, guide, learner.options.projection), descent)
    learner.loss(images, labels).backward()
    assert learner.ctx.grad is not None
    assert_close(learner.ctx.grad, _plain_projection(descent, guide, learner.options.projection), 1e-5)


def test_value_is_the_cross_entropy(tiny_vit_backbone: Backbone, texts: Texts, inputs: Golden) -> None:
    learner, images, labels = (
        _create(tiny_vit_backbone, texts["classnames"]),
        inputs["images_vit"],
        inputs["labels_vit"],
    )
    assert_close(learner.loss(images, labels), F.cross_entropy(learner(images), labels), 1e-6)
    with torch.no_grad():
        assert_close(learner.loss(images, labels), F.cross_entropy(learner(images), labels), 1e-6)


def test_a_full_projection_leaves_nothing_against_the_guide(
    tiny_vit_backbone: Backbone, texts: Texts, inputs: Golden
) -> None:
    learner, images = _create(tiny_vit_backbone, texts["classnames"]), inputs["images_vit"]
    labels = _labels(learner, images, AGAINST)
    _, guide = _plain_gradients(learner, images, labels)
    learner.loss(images, labels).backward()
    assert learner.ctx.grad is not None
    assert abs(torch.cosine_similarity(learner.ctx.grad.flatten(), guide.flatten(), dim=0)) < 1e-5


def test_without_projection_it_is_coop(tiny_vit_backbone: Backbone, texts: Texts, inputs: Golden) -> None:
    learner, images = _create(tiny_vit_backbone, texts["classnames"], projection=0.0), inputs["images_vit"]
    coop = create_learner("coop", tiny_vit_backbone, texts["classnames"], n_ctx=4)
    coop.load_state_dict(learner.state_dict())
    labels = _labels(learner, images, AGAINST)
    gradients = [torch.autograd.grad(one.loss(images, labels), one.parameters())[0] for one in (learner, coop)]
    assert_close(gradients[0], gradients[1], 1e-5)


@pytest.mark.parametrize("factor", [2.0**16, 1e-6])
def test_a_factor_on_the_loss_scales_the_projected_gradient(
    tiny_vit_backbone: Backbone, texts: Texts, inputs: Golden, factor: float
) -> None:
    learner, images = _create(tiny_vit_backbone, texts["classnames"]), inputs["images_vit"]
    labels = _labels(learner, images, AGAINST)
    plain, scaled = (
        torch.autograd.grad(scale * learner.loss(images, labels), learner.ctx)[0] for scale in (1.0, factor)
    )
    assert_close(scaled, factor * plain, 1e-5)


def test_texts_computed_in_pieces_change_nothing(
    tiny_vit_backbone: Backbone, texts: Texts, inputs: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner, images = _create(tiny_vit_backbone, texts["classnames"], class_specific=True), inputs["images_vit"]
    labels = _labels(learner, images, AGAINST)
    (whole,) = torch.autograd.grad(learner.loss(images, labels), learner.ctx)
    monkeypatch.setattr("clipprompt.backbone._text.POSITIONS_AT_ONCE", 20)
    (pieces,) = torch.autograd.grad(learner.loss(images, labels), learner.ctx)
    assert_close(pieces, whole, 1e-5)


def test_one_class_has_a_gradient_of_zero(tiny_vit_backbone: Backbone, inputs: Golden) -> None:
    learner = _create(tiny_vit_backbone, ["cat"])
    learner.loss(inputs["images_vit"], torch.zeros(5, dtype=torch.long)).backward()
    assert learner.ctx.grad is not None
    assert learner.ctx.grad.abs().max() == 0


@pytest.mark.parametrize(("share", "expected"), [(1.0, [0.0, 2.0]), (0.5, [-0.5, 2.0]), (0.0, [-1.0, 2.0])])
def test_what_points_against_the_guide_is_taken_out(share: float, expected: list[float]) -> None:
    assert torch.equal(project(torch.tensor([-1.0, 2.0]), torch.tensor([3.0, 0.0]), share), torch.tensor(expected))


def test_what_points_along_the_guide_stays() -> None:
    gradient = torch.tensor([[1.0, 2.0], [0.0, -4.0]])
    assert torch.equal(project(gradient, torch.tensor([[3.0, 0.0], [1.0, 0.0]]), 1.0), gradient)
    assert torch.equal(project(gradient, torch.zeros(2, 2), 1.0), gradient)
