"""What the shared prefix, the packing and the cut texts must not change: open_clip's own forward over all 77 positions.

Random class lists, context lengths, depths and places of the context; forward and gradients.
"""

from __future__ import annotations

import random
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from clipprompt.backbone import Backbone
from clipprompt.learners import create_learner, learner_options
from clipprompt.learners._context import build_class_prompts, encode_prompts
from tests.conftest import Golden, assert_close
from tests.learners._names import LEARN_FROM_A_BATCH

WORDS = (
    "cat",
    "traffic",
    "light",
    "Boeing",
    "737-200",
    "café",
    "naïve",
    "orangutan",
    "x",
    "e-bike",
    "100",
    "%",
    "off",
    "&",
)
SEEDS = range(8)


class Case(NamedTuple):
    names: list[str]
    n_ctx: int
    n_before: int | None
    depth: int


def _case(seed: int, *, specific: bool) -> Case:
    """1 to 12 names of 1 to 7 words; deep prompts only where the context is shared and stands in front."""
    draw = random.Random(seed)
    names = dict.fromkeys(" ".join(draw.choices(WORDS, k=draw.randint(1, 7))) for _ in range(draw.randint(1, 12)))
    n_ctx = draw.randint(1, 9)
    n_before = draw.choice([None, 0, n_ctx // 2])
    return Case(list(names), n_ctx, n_before, draw.randint(1, 3) if n_before is None and not specific else 1)


def _plain_features(backbone: Backbone, case: Case, contexts: Tensor, deep: Tensor | None) -> Tensor:
    """(G, C, E) for contexts (G, C, n, d), by open_clip's own blocks over whole texts."""
    model, n_before = backbone.model, case.n_ctx if case.n_before is None else case.n_before
    tokens = backbone.tokenize([f"{name}." for name in case.names])
    ends, padding = tokens.argmax(dim=-1), model.token_embedding(torch.tensor([0]))
    texts, embedded = [], model.token_embedding(tokens)
    for group in contexts:
        for own, row, end in zip(group, embedded, ends.tolist(), strict=True):
            parts = [row[:1], own[:n_before], row[1 : end - 1], own[n_before:], row[end - 1 : end + 1]]
            text = torch.cat(parts)
            texts.append(torch.cat([text, padding.expand(77 - len(text), -1)]))
    states = torch.stack(texts) + model.positional_embedding
    for layer, block in enumerate(model.transformer.resblocks):
        if deep is not None and 1 <= layer <= len(deep):
            prompts = deep[layer - 1].expand(len(states), -1, -1)
            states = torch.cat([states[:, :1], prompts, states[:, 1 + prompts.shape[1] :]], dim=1)
        states = block(states, attn_mask=model.attn_mask)
    rows = (ends + case.n_ctx).repeat(len(contexts))
    features: Tensor = model.ln_final(states)[torch.arange(len(states)), rows] @ model.text_projection
    return features.unflatten(0, (len(contexts), len(case.names)))


@pytest.mark.parametrize("positions", [None, 40])
@pytest.mark.parametrize("specific", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_prompts_equal_whole_texts_forward_and_backward(
    tiny_vit_backbone: Backbone, seed: int, specific: bool, positions: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if positions is not None:
        monkeypatch.setattr("clipprompt.backbone._text.POSITIONS_AT_ONCE", positions)
    case, generator = _case(seed, specific=specific), torch.Generator().manual_seed(seed)
    groups, n_classes, width = 1 + seed % 3, len(case.names), tiny_vit_backbone.text_width
    shape = (groups, n_classes, case.n_ctx, width) if specific else (groups, case.n_ctx, width)
    contexts = (torch.randn(shape, generator=generator) * 0.1).requires_grad_()
    deep = (torch.randn(case.depth - 1, case.n_ctx, width, generator=generator) * 0.1).requires_grad_()
    weight = torch.randn(groups, n_classes, tiny_vit_backbone.embed_dim, generator=generator)

    prompts = build_class_prompts(tiny_vit_backbone, case.names, case.n_ctx)
    ours = encode_prompts(tiny_vit_backbone, prompts, contexts, case.n_before, deep if len(deep) else None)
    everyone = contexts if specific else contexts[:, None].expand(-1, n_classes, -1, -1)
    plain = _plain_features(tiny_vit_backbone, case, everyone, deep)

    assert_close(ours, plain.detach(), 1e-5)
    asked = [contexts, deep] if len(deep) else [contexts]
    found, expected = (torch.autograd.grad((features * weight).sum(), asked) for features in (ours, plain))
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other, 1e-4)


def _shallow(name: str) -> dict[str, int]:
    return {field: 2 for field in learner_options(name).model_fields if field.startswith("depth")}


@pytest.mark.parametrize("name", LEARN_FROM_A_BATCH)
def test_a_batchs_gradients_are_the_sum_of_its_images(tiny_vit_backbone: Backbone, inputs: Golden, name: str) -> None:
    learner, images = (
        create_learner(name, tiny_vit_backbone, ["cat", "hot dog"], **_shallow(name)),
        inputs["images_vit"],
    )
    asked = list(learner.parameters())
    whole = torch.autograd.grad(learner(images).square().sum(), asked, allow_unused=True)
    single = [torch.autograd.grad(learner(image[None]).square().sum(), asked, allow_unused=True) for image in images]
    assert any(gradient is not None for gradient in whole)
    for gradient, *parts in zip(whole, *single, strict=True):
        if gradient is not None:
            assert_close(gradient, torch.stack([part for part in parts if part is not None]).sum(dim=0), 1e-4)
