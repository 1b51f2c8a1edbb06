"""One training step of TaI-DPT: captions encoded every step at 77 positions, or taken from the cache."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from clipprompt.backbone import Backbone, load_backbone
from clipprompt.learners import CaptionFeatures, Learner, create_learner
from tools.bench._measure import Row, compare
from tools.bench.text_tower import class_names, plain_features

ARCHITECTURE, N_CLASSES, N_CTX = "RN50", 80, 16


def rows() -> list[Row]:
    """A step at RN50's size, 80 classes, at two batch sizes."""
    return [
        compare(
            f"TaI-DPT step, {ARCHITECTURE}, {N_CLASSES} classes, batch {batch}",
            partial(make_plain, batch),
            partial(make_ours, batch),
            repeats=(2, 10),
            note="ours: captions encoded once, before the first step",
        )
        for batch in (64, 512)
    ]


def make_plain(batch: int) -> Callable[[], object]:
    """The usual formulation: the text tower over all captions and all prompts, everything at 77 positions."""
    backbone, learner, tokens, labels = _setting(batch)
    names, (ctx, ctx_local) = list(learner.classnames), learner.parameters()

    def step() -> None:
        with torch.no_grad():
            captions = F.normalize(_all_positions(backbone, tokens), dim=-1)
        text = F.normalize(plain_features(backbone, names, ctx), dim=-1)
        text_local = F.normalize(plain_features(backbone, names, ctx_local), dim=-1)
        whole = 4 * captions[torch.arange(batch), tokens.argmax(dim=-1)] @ text.T
        cosines = captions @ text_local.T
        weights = (50 * cosines + torch.where(tokens == 0, -10000.0, 0.0)[..., None]).softmax(dim=1)
        part = 4 * (cosines * weights).sum(dim=1)
        (_all_pairs(whole, labels) + _all_pairs(part, labels)).backward()

    return step


def make_ours(batch: int) -> Callable[[], object]:
    """The learner itself, on cached captions."""
    _, learner, tokens, labels = _setting(batch)
    features = _encode_in_parts(learner, tokens)
    return lambda: learner.loss_from(features, labels).backward()


def _setting(batch: int) -> tuple[Backbone, Learner, Tensor, Tensor]:
    backbone = load_backbone(ARCHITECTURE, "random", device="cpu")
    learner = create_learner("tai_dpt", backbone, class_names(N_CLASSES), n_ctx=N_CTX)
    draw = random.Random(0)
    # COCO's captions have ten to eleven words on average.
    captions = [" ".join(draw.choices(("a", "man", "dog", "on", "the", "red", "street"), k=10)) for _ in range(batch)]
    labels = torch.zeros(batch, N_CLASSES)
    for row in labels:
        row[draw.sample(range(N_CLASSES), 2)] = 1
    return backbone, learner, backbone.tokenize(captions), labels


def _encode_in_parts(learner: Learner, tokens: Tensor) -> CaptionFeatures:
    parts = [learner.encode_captions(part) for part in tokens.split(64)]
    return CaptionFeatures(*(torch.cat(pieces) for pieces in zip(*parts, strict=True)))


def _all_positions(backbone: Backbone, tokens: Tensor) -> Tensor:
    model = backbone.model
    states = model.transformer(model.token_embedding(tokens) + model.positional_embedding, attn_mask=model.attn_mask)
    projected: Tensor = model.ln_final(states) @ model.text_projection
    return projected


def _all_pairs(logits: Tensor, labels: Tensor) -> Tensor:
    """The ranking loss over classes squared."""
    hinge = (1 - logits[:, :, None] + logits[:, None, :]).clamp(min=0)
    return (hinge * labels[:, :, None] * (1 - labels[:, None, :])).sum(dim=(1, 2)).mean()
