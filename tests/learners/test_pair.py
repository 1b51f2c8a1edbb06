"""What the learners with a positive and a negative prompt have in common: pieces of texts, sizes of images."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from clipprompt.backbone import Backbone
from clipprompt.learners import create_learner
from tests.conftest import Golden, assert_close
from tools.bench import dualcoop as bench
from tools.bench._plain_pairs import pair_loss

NAMES = ["cat", "traffic light", "hot_dog", "air balloon", "person", "Boeing 737-200", "cell phone"]
LEARNERS: dict[str, dict[str, Any]] = {
    "dualcoop": {},
    "dualcoop class-specific": {"class_specific": True},
    "dualcoop without negative": {"class_specific": True, "negative": False},
    "caption_dual": {},
    "caption_dual class-specific": {"class_specific": True},
}
every = pytest.mark.parametrize("which", LEARNERS)


def _create(which: str, backbone: Backbone) -> Any:
    # Logits of the drawn weights that are not at the ends of the sigmoid, so that gradients are.
    scale = {"logit_scale": 10.0} if which.startswith("dualcoop") else {}
    return create_learner(which.partition(" ")[0], backbone, NAMES, n_ctx=4, **{**LEARNERS[which], **scale})


def _step(learner: Any, images: Tensor, labels: Tensor) -> list[Tensor]:
    loss = learner.loss(images, labels)
    return [loss.detach(), *torch.autograd.grad(loss, list(learner.parameters()))]


@every
def test_texts_in_pieces_have_the_same_loss_and_gradients(
    tiny_backbone: Backbone, inputs: Golden, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = _create(which, tiny_backbone)
    images = inputs["images_vit" if tiny_backbone.image_size == 64 else "images_rn"][:4]
    labels = inputs["partial_rn_dualcoop"]
    whole = _step(learner, images, labels)
    monkeypatch.setattr("clipprompt.backbone._text.POSITIONS_AT_ONCE", 16)
    for piece, expected in zip(_step(learner, images, labels), whole, strict=True):
        assert expected.abs().max() > 0
        assert_close(piece, expected, 1e-4)


@pytest.mark.parametrize("size", [(128, 128), (448, 448), (160, 96)], ids=str)
@pytest.mark.parametrize("which", [name for name in LEARNERS if "without" not in name])
def test_any_size_of_image_equals_the_plain_formulation(
    tiny_rn_backbone: Backbone, inputs: Golden, which: str, size: tuple[int, int]
) -> None:
    learner, labels = _create(which, tiny_rn_backbone), inputs["partial_rn_dualcoop"]
    images = F.interpolate(inputs["images_rn"], size=size, mode="bilinear")
    plain = pair_loss(learner)(images, labels)
    expected = [plain.detach(), *torch.autograd.grad(plain, list(learner.parameters()))]
    for ours, theirs in zip(_step(learner, images, labels), expected, strict=True):
        assert_close(ours, theirs, 1e-4)


def test_every_method_of_the_benchmark_is_compared() -> None:
    assert {name for name, _ in bench.SETTINGS} == {name.partition(" ")[0] for name in LEARNERS}


@pytest.mark.parametrize("size", [(64, 64), (112, 80)], ids=str)
def test_regions_of_a_vit_at_any_size_are_the_value_path(
    tiny_vit_backbone: Backbone, inputs: Golden, size: tuple[int, int]
) -> None:
    images = F.interpolate(inputs["images_vit"], size=size, mode="bilinear")
    regions = _create("dualcoop", tiny_vit_backbone).encode_images(images).local
    assert_close(regions, _plain_regions(tiny_vit_backbone.model.visual, images), 1e-5)
    places = _create("caption_dual", tiny_vit_backbone).encode_images(images).local
    assert_close(places, regions[:, 1:], 1e-6)


@torch.no_grad()
def _plain_regions(visual: Any, images: Tensor) -> Tensor:
    """The class token's feature, then every place through the last block with itself alone to attend to."""
    patches = visual.conv1(images)
    native = visual.positional_embedding[1:].unflatten(0, (4, 4)).permute(2, 0, 1)[None]
    positions = F.interpolate(native, size=patches.shape[2:], mode="bicubic", align_corners=False)
    first = visual.class_embedding + visual.positional_embedding[0]
    states = torch.cat([first.expand(len(images), 1, -1), (patches + positions).flatten(2).transpose(1, 2)], dim=1)
    states = visual.ln_pre(states)
    for block in visual.transformer.resblocks[:-1]:
        states = block(states)
    last = visual.transformer.resblocks[-1]
    pooled, places = last(states)[:, :1], states[:, 1:]
    values = F.linear(
        last.ln_1(places), *(part.chunk(3)[2] for part in (last.attn.in_proj_weight, last.attn.in_proj_bias))
    )
    places = places + last.attn.out_proj(values)
    places = places + last.mlp(last.ln_2(places))
    return F.normalize(visual.ln_post(torch.cat([pooled, places], dim=1)) @ visual.proj, dim=-1)
