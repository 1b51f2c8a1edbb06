"""LoRA in the image tower, with a head: its dropout, its merging, and what it saves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.learners import Learner, check_options, create_learner, load_learner
from tests.conftest import Golden, assert_close

NAMES = ["cat", "dog", "horse"]
LABELS = torch.tensor([0, 1, 2, 0])


def _learner(backbone: Backbone, **options: Any) -> Learner:
    return create_learner("lora", backbone, NAMES, seed=1, **options)


def _step(learner: Learner, images: torch.Tensor) -> dict[str, torch.Tensor]:
    learner.zero_grad()
    learner.loss(images[: len(LABELS)], LABELS[: len(images)]).backward()
    found = {key: parameter.grad for key, parameter in learner.named_parameters() if parameter.grad is not None}
    with torch.no_grad():
        for key, gradient in found.items():
            learner.get_parameter(key).sub_(0.5 * gradient)
    return {key: gradient.clone() for key, gradient in found.items()}


def test_the_tower_is_that_of_the_formula(tiny_vit_backbone: Backbone, inputs: Golden) -> None:
    """A second walk in plain torch, with q and v from W + alpha / r B A."""
    learner, visual = _learner(tiny_vit_backbone, rank=3, alpha=6.0), tiny_vit_backbone.model.visual
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in learner.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
        parameters = {key.replace("lora.image/", ""): value for key, value in learner.named_parameters()}
        x = visual.conv1(inputs["images_vit"]).flatten(2).transpose(1, 2)
        x = torch.cat([visual.class_embedding.expand(len(x), 1, -1), x], dim=1) + visual.positional_embedding
        x = visual.ln_pre(x)
        for number, block in enumerate(visual.transformer.resblocks):
            weights = list(block.attn.in_proj_weight.chunk(3))
            for letter, row in (("q", 0), ("v", 2)):
                change = parameters[f"{number}/{letter}/B"] @ parameters[f"{number}/{letter}/A"]
                weights[row] = weights[row] + 6 / 3 * change
            qkv = block.ln_1(x) @ torch.cat(weights).T + block.attn.in_proj_bias
            q, k, v = (part.unflatten(-1, (block.attn.num_heads, -1)).transpose(1, 2) for part in qkv.chunk(3, dim=-1))
            mixed = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(dim=-1) @ v
            x = x + block.attn.out_proj(mixed.transpose(1, 2).flatten(2))
            x = x + block.mlp(block.ln_2(x))
        feature = visual.ln_post(x[:, 0])
    assert_close(learner.encode_images(inputs["images_vit"])[0], feature, 1e-5)
    with torch.no_grad():
        assert_close(learner.encode_images(inputs["images_vit"])[0], feature, 1e-5)


def test_it_starts_as_the_frozen_tower(tiny_vit_backbone: Backbone, inputs: Golden) -> None:
    tower = tiny_vit_backbone.vision
    frozen = tower.final(tower.trunk(inputs["images_vit"]))
    assert_close(_learner(tiny_vit_backbone).encode_images(inputs["images_vit"])[0], frozen, 1e-6)


def test_without_gradients_it_follows_every_step(tiny_vit_backbone: Backbone, inputs: Golden) -> None:
    learner, images = _learner(tiny_vit_backbone), inputs["images_vit"]
    for _ in range(3):
        _step(learner, images)
        with torch.no_grad():
            merged = learner(images)
        assert not merged.requires_grad
        assert_close(learner(images), merged, 1e-5)


def test_blocks_that_are_not_named_stay_as_they_are(tiny_vit_backbone: Backbone) -> None:
    learner = _learner(tiny_vit_backbone, layers=[2], projections="q, fc2", rank=1)
    names = {key for key, _ in learner.named_parameters() if key.startswith("lora")}
    assert names == {"lora.image/2/q/A", "lora.image/2/q/B", "lora.image/2/fc2/A", "lora.image/2/fc2/B"}


@pytest.mark.parametrize(("layers", "taken"), [("0, 2", (0, 2)), (1, (1,)), ([1], (1,)), (None, None)])
def test_blocks_are_named_as_a_command_line_has_them(layers: Any, taken: tuple[int, ...] | None) -> None:
    assert check_options("lora", {"layers": layers}).model_dump()["layers"] == taken


def test_dropout_is_a_function_of_the_seed_and_the_step(tiny_vit_backbone: Backbone, inputs: Golden) -> None:
    images, state = inputs["images_vit"], torch.random.get_rng_state()
    first, again = (_learner(tiny_vit_backbone, dropout=0.5) for _ in range(2))
    for _ in range(3):
        one, other = _step(first, images), _step(again, images)
        assert all(torch.equal(one[key], other[key]) for key in one)
    assert torch.equal(torch.random.get_rng_state(), state)
    resumed = _learner(tiny_vit_backbone, dropout=0.5)  # as a checkpoint puts it back
    resumed.load_state_dict(first.state_dict())
    resumed.gathered = dict(first.gathered)
    one, other = _step(first, images), _step(resumed, images)
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_dropout_differs_by_step_and_answers_have_none(tiny_vit_backbone: Backbone, inputs: Golden) -> None:
    images, learner = inputs["images_vit"], _learner(tiny_vit_backbone, dropout=0.5)
    _step(learner, images)
    losses = {learner.loss(images[:3], LABELS[:3]).item() for _ in range(3)}
    assert len(losses) == 3
    logits = learner(images)
    assert torch.equal(learner(images), logits)
    with torch.no_grad():
        assert_close(learner(images), logits.detach(), 1e-5)
        still = learner.loss_from(learner.encode_images(images[:3]), LABELS[:3])
    assert_close(still, F.cross_entropy(logits[:3], LABELS[:3]).detach(), 1e-5)


def test_a_folder_records_the_backbone_as_it_is(tiny_vit_backbone: Backbone, inputs: Golden, tmp_path: Path) -> None:
    fingerprint = tiny_vit_backbone.fingerprint()
    learner = _learner(tiny_vit_backbone)
    _step(learner, inputs["images_vit"])
    with torch.no_grad():
        learner(inputs["images_vit"])
    learner.save(tmp_path)
    description = json.loads((tmp_path / "prompt.json").read_text())
    assert description["backbone"]["fingerprint"] == fingerprint == tiny_vit_backbone.fingerprint()
    size = sum(path.stat().st_size for path in tmp_path.glob("*.safetensors"))
    assert size < 4 * learner.n_parameters + 4096
    again = load_learner(tmp_path, tiny_vit_backbone)
    assert torch.equal(again(inputs["images_vit"]), learner(inputs["images_vit"]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"rank": 0}, "lora: option rank = 0", id="rank"),
        pytest.param({"projections": ["query"]}, "lora: option projections.0 = 'query'", id="unknown projection"),
        pytest.param({"projections": []}, "lora: option projections", id="no projection"),
        pytest.param({"projections": "q,q"}, "lora: projections q, q names one twice", id="twice"),
        pytest.param({"layers": [7]}, "layer 7: the image tower of tiny_vit has layers 0 to 2", id="layer"),
        pytest.param({"dropout": 1.0}, "lora: option dropout = 1.0", id="all dropped"),
        pytest.param({"alpha": 0.0}, "lora: option alpha = 0.0", id="alpha"),
    ],
)
def test_a_wrong_option_is_told_in_one_line(tiny_vit_backbone: Backbone, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        _learner(tiny_vit_backbone, **options)
    assert "\n" not in str(error.value)
