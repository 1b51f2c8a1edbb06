"""Half-precision towers under float32 prompts stay close to float32.

Bounds are about twice what was seen on tiny_vit (features, gradients, five steps): bfloat16 0.014, 0.08, cosine 0.96;
float16 0.0014, 0.008, cosine 0.998. Distances are relative, in norm.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg, convert_weights_to_lp
from torch import Tensor

from clipprompt.backbone import Backbone
from clipprompt.learners import Learner, create_learner, learner_options
from tests.conftest import GOLDEN, Golden
from tests.golden import tiny_clip
from tests.learners._names import LEARN_FROM_A_BATCH, OF_TEXTS


class Bounds(NamedTuple):
    features: float
    gradients: float
    cosine: float


BOUNDS = {torch.bfloat16: Bounds(0.03, 0.15, 0.93), torch.float16: Bounds(0.003, 0.02, 0.99)}
precisions = pytest.mark.parametrize("dtype", BOUNDS, ids=["bf16", "fp16"])


@pytest.fixture(scope="module")
def halved(tiny_vit_backbone: Backbone) -> Callable[[torch.dtype], Backbone]:
    """The tiny ViT with half-precision weights, as open_clip loads them; norms and positions stay float32."""

    def build(dtype: torch.dtype) -> Backbone:
        cfg = json.loads((GOLDEN / "tiny_vit_open_clip.json").read_text())
        towers = {"vision_cfg": CLIPVisionCfg(**cfg["vision_cfg"]), "text_cfg": CLIPTextCfg(**cfg["text_cfg"])}
        model = CLIP(cfg["embed_dim"], **towers, quick_gelu=True, cast_dtype=dtype)
        model.load_state_dict(tiny_clip.tiny_vit_state_dict(0))
        convert_weights_to_lp(model, dtype)
        return Backbone.from_open_clip(model, tiny_vit_backbone.tokenizer)

    built = {dtype: build(dtype) for dtype in BOUNDS}
    return built.__getitem__


def _create(name: str, backbone: Backbone, texts: dict[str, list[str]]) -> Learner:
    depths: dict[str, Any] = {field: 3 for field in learner_options(name).model_fields if field.startswith("depth")}
    return create_learner(name, backbone, texts["classnames"], **depths)


def _loss(learner: Learner, inputs: Golden) -> Tensor:
    if learner.trains_on == "captions":
        return learner.loss(inputs["caption_tokens"], inputs["caption_labels"])
    return learner.loss(inputs["images_vit"], inputs["labels_vit"])


def _gradients(learner: Learner, inputs: Golden) -> list[Tensor]:
    gradients = torch.autograd.grad(_loss(learner, inputs), list(learner.parameters()), allow_unused=True)
    present = [gradient for gradient in gradients if gradient is not None]
    assert present
    return present


def _distance(found: Tensor, expected: Tensor) -> float:
    """0 where both are 0, as the gradients of a layer that another one of zeros follows."""
    return float((found - expected).norm() / expected.norm().clamp(min=1e-12))


@precisions
@pytest.mark.parametrize("name", OF_TEXTS)
def test_features_are_float32_and_close(
    tiny_vit_backbone: Backbone,
    halved: Callable[[torch.dtype], Backbone],
    texts: dict[str, list[str]],
    inputs: Golden,
    name: str,
    dtype: torch.dtype,
) -> None:
    half, whole = (_create(name, backbone, texts) for backbone in (halved(dtype), tiny_vit_backbone))
    with torch.no_grad():
        for found, expected in (
            (half.text_features(), whole.text_features()),
            (half.encode_images(inputs["images_vit"]).global_, whole.encode_images(inputs["images_vit"]).global_),
        ):
            assert found.dtype == torch.float32
            assert 0 < _distance(found, expected) < BOUNDS[dtype].features


@precisions
@pytest.mark.parametrize("name", LEARN_FROM_A_BATCH)
def test_prompts_and_their_gradients_are_float32_finite_and_close(
    tiny_vit_backbone: Backbone,
    halved: Callable[[torch.dtype], Backbone],
    texts: dict[str, list[str]],
    inputs: Golden,
    name: str,
    dtype: torch.dtype,
) -> None:
    half, whole = (_create(name, backbone, texts) for backbone in (halved(dtype), tiny_vit_backbone))
    assert all(parameter.dtype == torch.float32 for parameter in half.parameters())
    for found, expected in zip(_gradients(half, inputs), _gradients(whole, inputs), strict=True):
        assert found.dtype == torch.float32
        assert bool(found.isfinite().all())
        assert _distance(found, expected) < BOUNDS[dtype].gradients


@precisions
@pytest.mark.parametrize("name", LEARN_FROM_A_BATCH)
def test_five_steps_go_the_same_way(
    tiny_vit_backbone: Backbone,
    halved: Callable[[torch.dtype], Backbone],
    texts: dict[str, list[str]],
    inputs: Golden,
    name: str,
    dtype: torch.dtype,
) -> None:
    moved = []
    for backbone in (halved(dtype), tiny_vit_backbone):
        learner = _create(name, backbone, texts)
        before = torch.nn.utils.parameters_to_vector(learner.parameters()).detach().clone()
        optimizer = torch.optim.SGD(learner.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4)
        for _ in range(5):
            optimizer.zero_grad()
            _loss(learner, inputs).backward()
            optimizer.step()
        moved.append(torch.nn.utils.parameters_to_vector(learner.parameters()).detach() - before)
    assert bool(moved[0].isfinite().all())
    assert float(torch.cosine_similarity(*moved, dim=0)) > BOUNDS[dtype].cosine
    assert float(moved[0].norm() / moved[1].norm()) == pytest.approx(1, abs=1 - BOUNDS[dtype].cosine)


@precisions
def test_chunks_keep_the_precision(halved: Callable[[torch.dtype], Backbone], dtype: torch.dtype) -> None:
    tower = halved(dtype).text
    assert tower.dtype == dtype
    generator = torch.Generator().manual_seed(0)
    prefix = (torch.randn(2, 3, tower.width, generator=generator) * 0.1).requires_grad_()
    suffix, ends = (
        torch.randn(30, 5, tower.width, generator=generator) * 0.1,
        torch.randint(1, 5, (30,), generator=generator),
    )
    results = []
    for positions in (None, 40):
        features = tower.encode(suffix, ends, prefix, positions_at_once=positions)
        (gradient,) = torch.autograd.grad(features.square().sum(), prefix)
        assert features.dtype == gradient.dtype == torch.float32
        results.append((features.detach(), gradient))
    for whole, chunked in zip(*results, strict=True):
        assert _distance(chunked, whole) < BOUNDS[dtype].features
