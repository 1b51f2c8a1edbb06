"""Tuning as it is plainly written: all of the tower at every step, and pictures that are decoded every time."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipprompt.backbone import Backbone

Batches = Callable[[], Iterable[tuple[Tensor, Tensor]]]


def epoch(backbone: Backbone, n_blocks: int, n_classes: int, batches: Batches) -> Callable[[], object]:
    """An epoch in which the last blocks and a head are learnt, or a head alone.

    Args:
        backbone: whose tower is copied.
        n_blocks: of the tower that are learnt.
        n_classes: of the head.
        batches: decodes pictures and gives them in batches with multi-hot labels.
    """
    visual, head = _tower(backbone), nn.Linear(_width(backbone), n_classes)
    learnt = [*head.parameters()]
    if n_blocks:
        last = [*visual.transformer.resblocks[-n_blocks:].parameters(), *visual.ln_post.parameters()]
        learnt += [p.requires_grad_() for p in last]
    optimizer = torch.optim.SGD(learnt, lr=1e-3, momentum=0.9)

    def run() -> None:
        for images, labels in batches():
            optimizer.zero_grad()
            F.cross_entropy(head(visual(images)), labels).backward()
            optimizer.step()

    return run


def step(backbone: Backbone, n_tokens: int, n_classes: int, images: Tensor, labels: Tensor) -> Callable[[], object]:
    """Forward and backward of the bare frozen tower, with some more tokens at its input, which get the gradient.

    Its blocks are written out: those of open_clip take twice the time on a CPU, where their attention's backward pass
    works on transposed states.
    """
    visual, head = _tower(backbone), nn.Linear(_width(backbone), n_classes)
    tokens = nn.Parameter(0.02 * torch.randn(n_tokens, _width(backbone), generator=torch.Generator().manual_seed(0)))

    def run() -> None:
        tokens.grad = None
        states = torch.cat([_embed(visual, images), tokens.expand(len(images), -1, -1)], dim=1)
        for block in visual.transformer.resblocks:
            states = _run(block, states)
        F.cross_entropy(head(visual.ln_post(states)[:, 0]), labels).backward()

    return run


def _tower(backbone: Backbone) -> Any:
    visual: Any = copy.deepcopy(backbone.vision.module).eval().requires_grad_(False)
    visual.proj = None
    return visual


def _width(backbone: Backbone) -> int:
    return backbone.vision.width


def _embed(visual: Any, images: Tensor) -> Tensor:
    patches = visual.conv1(images).flatten(2).transpose(1, 2)
    first = visual.class_embedding.expand(len(images), 1, -1)
    embedded: Tensor = visual.ln_pre(torch.cat([first, patches], dim=1) + visual.positional_embedding)
    return embedded


def _run(block: Any, states: Tensor) -> Tensor:
    attention, normed = block.attn, block.ln_1(states)
    packed = F.linear(normed, attention.in_proj_weight, attention.in_proj_bias)
    queries, keys, values = packed.unflatten(-1, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
    mixed = F.scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(2)
    states = states + attention.out_proj(mixed)
    out: Tensor = states + block.mlp(block.ln_2(states))
    return out
