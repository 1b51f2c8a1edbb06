r"""What learners with context vectors share: the fixed parts of the prompts around the context.

[start] [ctx 1 … ctx n] [name tokens] [.] [end]
fixed      learnt       \______ suffix _______/
"""

from __future__ import annotations

import logging
from typing import NamedTuple

import torch
from torch import Tensor, nn

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.learners._base import Learner, LearnerOptions, check_classnames


class ClassPrompts(NamedTuple):
    """The fixed parts of C prompts.

    Attributes:
        start: embedding of the start token, (1, d); (0, d) where the tokenizer has none.
        suffix: embeddings of name, full stop and end token, padded to the longest, (C, Ls, d).
        ends: index of each end token within the suffix, (C,).
    """

    start: Tensor
    suffix: Tensor
    ends: Tensor


class ContextLearner(Learner):
    """A learner with context vectors: keeps what stands around them, and makes it anew for other class names.

    Attributes:
        ctx: the context, (n, d) or class-specific (C, n, d); made by the learner itself, which overrides ``_contexts``
            if it has others.
    """

    ctx: nn.Parameter

    def __init__(self, backbone: Backbone, options: LearnerOptions, generator: torch.Generator, n_classes: int) -> None:
        super().__init__(backbone, options, generator, n_classes)
        for part in ClassPrompts._fields:
            self.register_buffer(f"_{part}", torch.empty(0), persistent=False)

    @property
    def _contexts(self) -> tuple[Tensor, ...]:
        """All contexts that class names are put into; they may differ in length."""
        return (self.ctx,)

    @property
    def _n_context(self) -> int:
        """Tokens between the start token and the full stop that are not the name's; of the longest context."""
        return max(context.shape[-2] for context in self._contexts)

    @property
    def _prompts(self) -> ClassPrompts:
        return ClassPrompts(*(getattr(self, f"_{part}") for part in ClassPrompts._fields))

    def _embed_classes(self, names: list[str]) -> None:
        if self._contexts[0].dim() == 3:
            self._check_owners(names)
        for part, value in build_class_prompts(self.backbone, names, self._n_context)._asdict().items():
            setattr(self, f"_{part}", value)

    @property
    def first_of_same_prompt(self) -> list[int]:
        """As for all learners; contexts of one's own tell classes of one name apart."""
        if self._contexts[0].dim() == 3:
            return list(range(len(self.classnames)))
        return super().first_of_same_prompt

    def _check_owners(self, names: list[str]) -> None:
        """Class-specific contexts stay with their classes: one may be spelt anew, none may take another's context."""
        if len(names) != (n_owners := len(self._contexts[0])):
            raise UserError(
                f"class-specific contexts were made for {n_owners} classes and cannot serve {len(names)}; "
                "take some of its own, or train with class_specific=False for prompts that take any class"
            )
        known = check_classnames(self.classnames) if self.classnames else []
        owners: dict[str, list[int]] = {}  # several where a synset tells classes of one name apart
        for number, name in enumerate(known, 1):
            owners.setdefault(name.lower(), []).append(number)
        for number, name in enumerate(names, 1):
            if number not in (own := owners.get(name.lower(), [number])):
                raise UserError(
                    f"class-specific contexts stay with their classes: {name!r} is class {own[0]} of the prompt, not "
                    f"{number}; leave the class names out, or give them in the prompt's order"
                )


def build_class_prompts(backbone: Backbone, names: list[str], n_ctx: int) -> ClassPrompts:
    """Tokenises "<n_ctx words> <name>." and keeps what stands around the context (CoOp, arXiv 2109.01134, 3.2).

    Args:
        backbone: gives tokenizer and embeddings.
        names: cleaned class names.
        n_ctx: number of context vectors, each in the place of one token.

    Raises:
        UserError: naming a class whose prompt does not fit into the text tower.
    """
    layout = backbone.text.layout
    n_start, room = layout.n_start, _room(backbone, n_ctx)
    texts = [layout.continued(f"{name}.") for name in names]
    tokens = backbone.tokenizer(texts, context_length=backbone.context_length + layout.n_lead + 1)
    tokens = torch.cat([tokens[:, :n_start], tokens[:, n_start + layout.n_lead :]], dim=1)
    ends = backbone.text.end_positions(tokens)
    for name, end in zip(names, ends.tolist(), strict=True):
        if end >= room:
            raise UserError(
                f"class name {name[:60]!r} is too long: with {n_ctx} context vectors "
                f"{room - n_start - layout.n_stop - 1} of the text tower's {backbone.context_length} tokens are left "
                "for a name"
            )
    embedded = backbone.text.embed_tokens(tokens[:, : int(ends.max()) + 1])
    return ClassPrompts(embedded[0, :n_start], embedded[:, n_start:], (ends - n_start).to(embedded.device))


def _room(backbone: Backbone, n_ctx: int) -> int:
    room, layout = backbone.context_length - n_ctx, backbone.text.layout
    if room < layout.n_start + 1 + layout.n_stop + 1:  # start token, a name of one token, full stop, end token
        raise UserError(f"n_ctx {n_ctx} is too large: the text tower has {backbone.context_length} tokens in all")
    return room


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
        UserError: if the context does not fit into the text tower.
    """
    if words is not None:
        tokens = backbone.tokenize([words.replace("_", " ")])  # as the original's a_photo_of_a
        start, end = backbone.text.layout.n_start, int(backbone.text.end_positions(tokens))
        if end <= start:
            raise UserError(f"ctx_init {words!r} has no words")
        context = backbone.text.embed_tokens(tokens[0, start:end]).clone()
        return context if n_classes is None else context.repeat(n_classes, 1, 1)
    _room(backbone, n_ctx)
    shape = (n_ctx, backbone.text_width) if n_classes is None else (n_classes, n_ctx, backbone.text_width)
    return (torch.randn(shape, generator=generator) * 0.02).to(backbone.device)


def split_words(backbone: Backbone, n_ctx: int, words: str | None, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The context of MaPLe's family: the first ``n_ctx`` tokens of the words are learnt, the others stay as they are.

    Returns:
        The context (n_ctx, d) and the frozen left-over embeddings (m, d). Words with fewer than ``n_ctx`` tokens are
        not used, with a warning, and the context is random (the original then learns over the class name).
    """
    if words is not None:
        embedded = init_context(backbone, n_ctx, words, None, generator)
        if len(embedded) >= n_ctx:
            return embedded[:n_ctx].clone(), embedded[n_ctx:].clone()
        logging.getLogger("clipprompt").warning(
            "ctx_init %r has %d tokens, too few for n_ctx %d: the context starts random", words, len(embedded), n_ctx
        )
    context = init_context(backbone, n_ctx, None, None, generator)
    return context, context[:0].clone()


def encode_prompts(
    backbone: Backbone,
    prompts: ClassPrompts,
    contexts: Tensor,
    n_before: int | None = None,
    deep: Tensor | None = None,
) -> Tensor:
    """Class features for G context sets at once.

    Args:
        backbone: the frozen CLIP.
        prompts: the fixed parts.
        contexts: (G, n, d) shared by all classes, so that what stands before the name is a shared prefix; or
            class-specific (G, C, n, d), where only the start token is shared.
        n_before: how many context vectors stand before the name, the others between name and full stop. None: all.
        deep: (J-1, n, d) replacing the first n context vectors before layers 1, 2, …; shared contexts only.

    Returns:
        float32 (G, C, E), not normalised.
    """
    start, suffix, ends = prompts
    n_ctx = contexts.shape[-2]
    left, right = contexts[..., :n_before, :], contexts[..., n_ctx if n_before is None else n_before :, :]
    if right.shape[-2]:
        suffix, ends = _insert(suffix, right, ends - backbone.text.layout.n_stop), ends + right.shape[-2]
    if contexts.dim() == 4:
        suffix, ends = torch.cat([left, suffix.expand(len(left), -1, -1, -1)], dim=2), ends + left.shape[-2]
        left = left[:, 0, :0]
    prefix = torch.cat([start.expand(len(left), -1, -1), left], dim=1)
    return backbone.text.encode(suffix, ends, prefix, deep)


def _insert(suffix: Tensor, context: Tensor, places: Tensor) -> Tensor:
    """Puts context (G, m, d) or (G, C, m, d) into each suffix (C, Ls, d) at its place (C,): (G, C, m + Ls, d)."""
    n_classes, n_ctx = len(suffix), context.shape[-2]
    if context.dim() == 3:
        context = context[:, None].expand(-1, n_classes, -1, -1)
    both = torch.cat([context, suffix.expand(len(context), -1, -1, -1)], dim=2)
    new = torch.arange(both.shape[2], device=both.device)
    place = places[:, None]
    source = torch.where(new < place, new + n_ctx, torch.where(new < place + n_ctx, new - place, new))
    return both.gather(2, source[None, :, :, None].expand(len(both), -1, -1, both.shape[-1]))
