"""Class features with learnt context, forward and backward: every class at 77 positions, or the left part shared."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from clipprompt.backbone import Backbone, load_backbone
from clipprompt.learners._context import build_class_prompts, encode_prompts
from tools.bench._measure import Row, compare

ARCHITECTURE, N_CLASSES, N_CTX = "ViT-B-16", 100, 16


def rows() -> list[Row]:
    """The text tower of ViT-B/16, 100 classes, 16 contexts."""
    what = f"text tower forward + backward, {ARCHITECTURE}, {N_CLASSES} classes, {N_CTX} contexts"
    return [compare(what, make_plain, make_ours, repeats=(3, 10))]


def class_names(n: int) -> list[str]:
    """Names of one to three words, as class lists have them."""
    words = ("cat", "traffic light", "hot dog", "potted plant", "air balloon", "wine glass", "red panda", "sofa")
    return [f"{words[i % len(words)]} {i}" for i in range(n)]


def plain_features(backbone: Backbone, names: list[str], context: Tensor) -> Tensor:
    """The usual formulation: open_clip's own transformer over all 77 positions of every class's prompt."""
    model = backbone.model
    tokens = backbone.tokenize([" ".join(["X"] * len(context)) + f" {name}." for name in names])
    embedded = model.token_embedding(tokens)
    shared = context.expand(len(names), -1, -1)
    prompts = torch.cat([embedded[:, :1], shared, embedded[:, 1 + len(context) :]], dim=1)
    states = model.transformer(prompts + model.positional_embedding, attn_mask=model.attn_mask)
    states = model.ln_final(states)[torch.arange(len(names)), tokens.argmax(dim=-1)]
    features: Tensor = states @ model.text_projection
    return features


def make_plain() -> Callable[[], object]:
    """All positions of all classes."""
    backbone, names, context = _setting()
    return lambda: plain_features(backbone, names, context).square().sum().backward()


def make_ours() -> Callable[[], object]:
    """The shared left part once, each class's own suffix, the end token's row of the last layer."""
    backbone, names, context = _setting()
    prompts = build_class_prompts(backbone, names, N_CTX)
    return lambda: encode_prompts(backbone, prompts, context[None]).square().sum().backward()


def _setting() -> tuple[Backbone, list[str], Tensor]:
    backbone = load_backbone(ARCHITECTURE, "random", device="cpu")
    context = torch.randn(N_CTX, backbone.text_width, generator=torch.Generator().manual_seed(0)) * 0.02
    return backbone, class_names(N_CLASSES), context.requires_grad_()
