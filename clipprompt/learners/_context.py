r"""What learners with context vectors share: the fixed parts of the prompts around the context.

[start] [ctx 1 … ctx n] [name tokens] [.] [end]
fixed      learnt       \______ suffix _______/
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError


class ClassPrompts(NamedTuple):
    """The fixed parts of C prompts.

    Attributes:
        start: embedding of the start token, (1, d).
        suffix: embeddings of name, full stop and end token, padded to the longest, (C, Ls, d).
        ends: index of each end token within the suffix, (C,).
    """

    start: Tensor
    suffix: Tensor
    ends: Tensor


def build_class_prompts(backbone: Backbone, names: list[str], n_ctx: int) -> ClassPrompts:
    """Tokenises "<n_ctx words> <name>." and keeps what stands around the context (CoOp, arXiv 2109.01134, 3.2).

    Args:
        backbone: gives tokenizer and embeddings.
        names: cleaned class names.
        n_ctx: number of context vectors, each in the place of one token.

    Raises:
        UserError: naming a class whose prompt does not fit into the text tower.
    """
    texts = [f"{name}." for name in names]
    room = backbone.context_length - n_ctx
    tokens = backbone.tokenizer(texts, context_length=backbone.context_length + 1)
    ends = backbone.text.end_positions(tokens)
    if room < 4:  # start token, a name of one token, full stop, end token
        raise UserError(f"n_ctx {n_ctx} is too large: the text tower has {backbone.context_length} tokens in all")
    for name, end in zip(names, ends.tolist(), strict=True):
        if end >= room:
            raise UserError(
                f"class name {name[:60]!r} is too long: with {n_ctx} context vectors "
                f"{max(room - 3, 0)} of the text tower's {backbone.context_length} tokens are left for a name"
            )
    embedded = backbone.text.embed_tokens(tokens[:, : int(ends.max()) + 1])
    return ClassPrompts(embedded[0, :1], embedded[:, 1:], (ends - 1).to(embedded.device))


def init_context(
    backbone: Backbone, n_ctx: int, words: str | None, n_classes: int | None, generator: torch.Generator
) -> Tensor:
    """Context vectors to start from: the embeddings of words, or normal with standard deviation 0.02, as in CoOp.

    Args:
        backbone: gives size, embeddings and device.
        n_ctx: number of random vectors. Words bring as many as they have tokens (the original counts words, which
            leaves pieces of a split word in the class name).
        words: such as "a photo of a".
        n_classes: one context per class; None for a single one.
        generator: of the random vectors, drawn on the CPU, so that a seed means the same numbers on every device.

    Returns:
        float32 (n, d) or (n_classes, n, d).

    Raises:
        UserError: if the words do not fit into the text tower.
    """
    if words is not None:
        tokens = backbone.tokenize([words])
        end = int(backbone.text.end_positions(tokens))
        if end < 2:
            raise UserError(f"ctx_init {words!r} has no words")
        context = backbone.text.embed_tokens(tokens[0, 1:end]).clone()
        return context if n_classes is None else context.repeat(n_classes, 1, 1)
    shape = (n_ctx, backbone.text_width) if n_classes is None else (n_classes, n_ctx, backbone.text_width)
    return (torch.randn(shape, generator=generator) * 0.02).to(backbone.device)


def encode_prompts(backbone: Backbone, prompts: ClassPrompts, contexts: Tensor) -> Tensor:
    """Class features for G context sets at once.

    Args:
        backbone: the frozen CLIP.
        prompts: the fixed parts.
        contexts: (G, n, d) shared by all classes, which makes [start][ctx] a shared prefix; or class-specific
            (G, C, n, d), where only the start token is shared.

    Returns:
        float32 (G, C, E), not normalised.
    """
    start, suffix, ends = prompts
    if contexts.dim() == 3:
        prefix = torch.cat([start.expand(len(contexts), -1, -1), contexts], dim=1)
        return backbone.text.encode(suffix, ends, prefix)
    groups, n_classes, n_ctx, _ = contexts.shape
    suffix = torch.cat([contexts, suffix.expand(groups, -1, -1, -1)], dim=2).flatten(0, 1)
    features = backbone.text.encode(suffix, (ends + n_ctx).repeat(groups), start[None])
    return features.reshape(groups, n_classes, -1)
