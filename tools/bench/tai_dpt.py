"""One training step of TaI-DPT: captions encoded every step at 77 positions, or taken from the cache."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from clipprompt.backbone import Backbone, load_backbone
from clipprompt.config import DataConfig
from clipprompt.learners import Learner, create_learner
from clipprompt.training.data import caption_data
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
            note="ours: from the cache of captions, which is filled once before the first step",
        )
        for batch in (64, 512)
    ]


def make_plain(batch: int) -> Callable[[], object]:
    """The usual formulation: the text tower over all captions and all prompts, everything at 77 positions."""
    backbone, learner, texts, labels = _setting(batch)
    tokens = backbone.tokenize(texts)
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
    """The learner on captions from the cache, as training takes them: gathered, widened to float32, labelled."""
    _, learner, captions, labels = _setting(batch)
    data = caption_data(learner, captions, [row.nonzero().flatten().tolist() for row in labels], DataConfig())
    samples = np.arange(batch)

    def step() -> None:
        features, wanted = data.take(samples)
        learner.loss_from(features, wanted).backward()

    return step


def _setting(batch: int) -> tuple[Backbone, Learner, list[str], Tensor]:
    backbone = load_backbone(ARCHITECTURE, "random", device="cpu")
    learner = create_learner("tai_dpt", backbone, class_names(N_CLASSES), n_ctx=N_CTX)
    draw = random.Random(0)
    # COCO's captions have ten to eleven words on average.
    captions = [" ".join(draw.choices(("a", "man", "dog", "on", "the", "red", "street"), k=10)) for _ in range(batch)]
    labels = torch.zeros(batch, N_CLASSES)
    for row in labels:
        row[draw.sample(range(N_CLASSES), 2)] = 1
    return backbone, learner, captions, labels


def _all_positions(backbone: Backbone, tokens: Tensor) -> Tensor:
    model = backbone.model
    states = model.transformer(model.token_embedding(tokens) + model.positional_embedding, attn_mask=model.attn_mask)
    projected: Tensor = model.ln_final(states) @ model.text_projection
    return projected


def _all_pairs(logits: Tensor, labels: Tensor) -> Tensor:
    """The ranking loss over classes squared."""
    hinge = (1 - logits[:, :, None] + logits[:, None, :]).clamp(min=0)
    return (hinge * labels[:, :, None] * (1 - labels[:, None, :])).sum(dim=(1, 2)).mean()
