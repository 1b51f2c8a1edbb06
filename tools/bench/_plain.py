"""The usual formulation of the prompt learners: what the original codes repeat in every step.

All classes stand at 77 positions, each with its own copy of the context, and the image tower runs in every step. Both
towers are open_clip's own modules. Nothing is slower than it need be: towers without prompts run without gradients,
what no prompt can change about the texts is tokenised and embedded before the first step.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from clipprompt.learners import Learner
from clipprompt.learners.promptsrc import PromptSRC

Loss = Callable[[Tensor, Tensor], Tensor]


def plain_loss(learner: Learner) -> Loss:
    """The loss of a learner's own parameters for images (B, 3, H, W) and labels (B,), the plain way."""
    make: Callable[[Any], Loss] = {"cocoop": _cocoop, "promptsrc": _promptsrc}.get(learner.name, _prompted)
    return make(learner)


def _prompted(learner: Any) -> Loss:
    """CoOp, VPT, IVLP and MaPLe: prompts in one tower or in both."""
    encode_images, encode_classes = _image_side(learner), _text_side(learner)

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(learner.backbone.logit_scale * encode_images(images) @ encode_classes().T, labels)

    return loss


def plain_step_in_parts(learner: Any, at_once: int) -> Callable[[Tensor, Tensor], None]:
    """A step of a learner with prompts in both towers, forward and backward, ``at_once`` classes at a time.

    The work of ``plain_loss`` and its backward pass, where the activations of all classes would not fit into memory.
    The softmax is over a part's classes, so the gradients are others, and cost the same.
    """
    encode_images, texts = _image_side(learner), Texts(learner, len(learner.ctx))
    parts = range(0, len(learner.classnames), at_once)

    def step(images: Tensor, labels: Tensor) -> None:
        whole = encode_images(images)
        seen = whole.detach().requires_grad_()
        for start in parts:
            text = texts.part(start, start + at_once).encode(learner.ctx, getattr(learner, "deep_ctx", None))
            logits = learner.backbone.logit_scale * seen @ text.T
            F.cross_entropy(logits, labels % at_once).backward()
        whole.backward(seen.grad)

    return step


def _cocoop(learner: Any) -> Loss:
    """Images one after another, each with all class features of its own."""
    encode_images, texts = _image_side(learner), Texts(learner, len(learner.ctx))

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        whole = encode_images(images)
        contexts = learner.ctx + learner.meta_net(whole)[:, None]
        rows = [image @ texts.encode(context).T for image, context in zip(whole, contexts, strict=True)]
        return F.cross_entropy(learner.backbone.logit_scale * torch.stack(rows), labels)

    return loss


def _promptsrc(learner: PromptSRC) -> Loss:
    """IVLP with a teacher, a second CLIP in memory whose image tower runs beside the first."""
    encode_images, encode_classes = _image_side(learner), _text_side(learner)
    teacher, scale, options = copy.deepcopy(learner.backbone.model), learner.backbone.logit_scale, learner.options
    written = learner.written_features()

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        whole, text = encode_images(images), encode_classes()
        with torch.no_grad():
            frozen = F.normalize(teacher.encode_image(images), dim=-1)
        logits = scale * whole @ text.T
        shares, teachers = logits.log_softmax(dim=-1), (scale * frozen @ written.T).log_softmax(dim=-1)
        return (
            F.cross_entropy(logits, labels)
            + options.text_weight * F.l1_loss(text, written)
            + options.image_weight * F.l1_loss(whole, frozen)
            + options.logit_weight * (teachers.exp() * (teachers - shares)).mean()
        )

    return loss


class Texts:
    """Class prompts at all positions: [start][ctx][name][.][end][padding]; with ``copies``, all of them again."""

    def __init__(self, learner: Any, n_ctx: int, copies: int = 1) -> None:
        backbone = learner.backbone
        words = getattr(learner.options, "ctx_init", None) or " ".join(["X"] * n_ctx)
        names = [name.replace("_", " ") for name in learner.classnames] * copies
        tokens = backbone.tokenize([f"{words} {name}." for name in names]).to(backbone.device)
        self.model = backbone.model
        self.embedded = self.model.token_embedding(tokens)
        self.ends = tokens.argmax(dim=-1)

    def part(self, start: int, stop: int) -> Texts:
        """Those of some of the classes."""
        part = copy.copy(self)
        part.embedded, part.ends = self.embedded[start:stop], self.ends[start:stop]
        return part

    def encode(self, context: Tensor, deep: Tensor | None = None) -> Tensor:
        """Class features (C, E) with a context in place of the first words.

        Args:
            context: (n, d), or each class's own (C, n, d).
            deep: (J-1, n, d) for deeper layers.
        """
        model = self.model
        states = _replaced(self.embedded, context) + model.positional_embedding
        for layer, block in enumerate(model.transformer.resblocks):
            if deep is not None and 1 <= layer <= len(deep):
                states = _replaced(states, deep[layer - 1])
            states = block(states, attn_mask=model.attn_mask)
        states = model.ln_final(states)[torch.arange(len(states)), self.ends]
        return F.normalize(states @ model.text_projection, dim=-1)


def _text_side(learner: Any) -> Callable[[], Tensor]:
    if not hasattr(learner, "ctx"):  # fixed class features, computed once
        fixed = learner.class_features().detach()
        return lambda: fixed
    texts = Texts(learner, len(learner.ctx))
    return lambda: texts.encode(learner.ctx, getattr(learner, "deep_ctx", None))


def _image_side(learner: Any) -> Callable[[Tensor], Tensor]:
    model = learner.backbone.model
    if learner.image_side_is_frozen:
        frozen = torch.no_grad()(model.encode_image)
        return lambda images: F.normalize(frozen(images), dim=-1)
    return lambda images: F.normalize(_encode_prompted(model.visual, images, *_visual_prompts(learner)), dim=-1)


def _visual_prompts(learner: Any) -> tuple[Tensor, Tensor | None]:
    if hasattr(learner, "visual_prompts"):  # MaPLe, whose prompts come from the text's
        prompts: tuple[Tensor, Tensor | None] = learner.visual_prompts()
        return prompts
    return learner.visual_ctx, learner.deep_visual_ctx


def _encode_prompted(visual: Any, images: Tensor, prompts: Tensor, deep: Tensor | None) -> Tensor:
    patches = visual.conv1(images).flatten(2).transpose(1, 2)
    first = visual.class_embedding.expand(len(images), 1, -1)
    states = torch.cat([first, patches], dim=1) + visual.positional_embedding
    states = visual.ln_pre(torch.cat([states, prompts.expand(len(images), -1, -1)], dim=1))
    for layer, block in enumerate(visual.transformer.resblocks):
        if deep is not None and 1 <= layer <= len(deep):
            kept = states[:, : -len(prompts)]
            states = torch.cat([kept, deep[layer - 1].expand(len(images), -1, -1)], dim=1)
        states = block(states)
    projected: Tensor = visual.ln_post(states)[:, 0] @ visual.proj
    return projected


def _replaced(states: Tensor, context: Tensor) -> Tensor:
    own = context.expand(len(states), -1, -1)
    return torch.cat([states[:, :1], own, states[:, 1 + context.shape[-2] :]], dim=1)
