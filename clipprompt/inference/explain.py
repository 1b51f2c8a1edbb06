"""What a trained prompt has learnt, in words: the two pictures that the papers show.

    context vectors --Euclidean distance--> nearest words of the vocabulary       (CoOp, arXiv 2109.01134, table 4)
    caption --local branch--> softmax weights over its words, for each class      (TaI-DPT, arXiv 2211.12739, figure 3)

Neither is more than a hint: the nearest word of a vector can be far away, which the yardsticks tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clipprompt.errors import UserError, nearest
from clipprompt.inference._caption_words import CaptionAttention, ClassAttention, attend
from clipprompt.inference._near_words import NearWord, WordSpace, Yardsticks
from clipprompt.learners import DenseLearner, Learner

__all__ = [
    "CaptionAttention",
    "ClassAttention",
    "ContextWords",
    "NearWord",
    "VectorWords",
    "Yardsticks",
    "explain_captions",
    "explain_context",
]


@dataclass(frozen=True)
class VectorWords:
    """One learnt vector in words.

    Attributes:
        parameter: the learner's parameter that holds it, such as ``ctx_local``.
        label: the class it belongs to; None where all classes share it.
        position: its place in the context, from 1 on.
        length: its Euclidean norm.
        noise: distance to the nearest word from a random direction of the same length. A nearest word that is no nearer
            says nothing about what was learnt.
        words: the nearest, nearest first.
    """

    parameter: str
    label: str | None
    position: int
    length: float
    noise: float
    words: tuple[NearWord, ...]


@dataclass(frozen=True)
class ContextWords:
    """Learnt vectors in words.

    Attributes:
        vectors: one entry per vector.
        n_words: whole words of the vocabulary, among which the nearest were sought.
        yardsticks: distances to compare with.
    """

    vectors: tuple[VectorWords, ...]
    n_words: int
    yardsticks: Yardsticks


def explain_context(
    learner: Learner, *, top: int = 5, labels: Sequence[str] | None = None, seed: int = 0
) -> ContextWords:
    """Finds the nearest words of every learnt context vector.

    Args:
        learner: a trained one.
        top: words per vector.
        labels: of class-specific contexts, the classes to explain; all by default.
        seed: of the random words and noise behind the yardsticks.

    Raises:
        UserError: if the learner has no context in the space of token embeddings, ``labels`` names an unknown class,
            or the tokenizer's words are unknown.
    """
    columns = find_columns(learner.classnames, labels)
    found = [entry for name, value in contexts(learner).items() for entry in _rows(name, value, learner, columns)]
    if not found:
        raise UserError(f"{learner.name} has learnt no context vectors among words; there is nothing to look up")
    vectors = torch.stack([vector for *_, vector in found])
    if not vectors.isfinite().all():
        raise UserError(f"the context of this {learner.name} holds numbers that are not finite: its training failed")
    space, generator = WordSpace(learner.backbone), torch.Generator().manual_seed(seed)
    words, noise = space.near_words(vectors, top), space.noise(vectors, generator)
    entries = (
        VectorWords(name, label, position, float(vector.norm()), chance, near)
        for (name, label, position, vector), near, chance in zip(found, words, noise, strict=True)
    )
    return ContextWords(tuple(entries), len(space), space.yardsticks(generator))


def explain_captions(
    learner: Learner, captions: Iterable[str], *, top: int = 5, labels: Sequence[str] | None = None
) -> list[CaptionAttention]:
    """Finds which words of captions the best classes attend to.

    Args:
        learner: one with a local branch.
        captions: texts; one that is too long is cut, which its entry says.
        top: classes per caption.
        labels: the classes to choose from; all by default.

    Raises:
        UserError: if the learner has no local branch, ``labels`` names an unknown class, or a caption is empty.
    """
    if not isinstance(learner, DenseLearner):
        raise UserError(f"{learner.name} has no local branch, so that its classes attend to no words")
    texts = list(captions)
    if any(not text.strip() for text in texts):
        raise UserError("a caption is empty; give a sentence, such as 'a dog on a sofa'")
    return list(attend(learner, texts, find_columns(learner.classnames, labels), top))


def contexts(learner: Learner) -> dict[str, Tensor]:
    """The parameters that live among token embeddings: (n, d), or class-specific (C, n, d)."""
    if not learner.has_text_features:
        return {}
    width = learner.backbone.text_width
    named = ((name, value.detach()) for name, value in learner.named_parameters())
    return {name: value for name, value in named if name.split("_")[0] == "ctx" and value.shape[-1] == width}


def find_columns(classnames: Sequence[str], labels: Sequence[str] | None) -> list[int]:
    """Where classes stand in a list; underscores are spaces and case does not matter.

    Raises:
        UserError: for a label that is not there, with the nearest suggested.
    """
    if labels is None:
        return list(range(len(classnames)))
    if not labels:
        raise UserError("no class is named; leave the labels out for all")
    known = {_plain(name): column for column, name in enumerate(classnames)}
    for label in labels:
        if _plain(label) not in known:
            raise UserError(f"the prompt has no class {label!r}{nearest(_plain(label), known)}; see its prompt.json")
    return list(dict.fromkeys(known[_plain(label)] for label in labels))


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").lower().split())


def _rows(
    name: str, context: Tensor, learner: Learner, columns: Sequence[int]
) -> Iterator[tuple[str, str | None, int, Tensor]]:
    """A context's vectors with their parameter, class and position."""
    if context.dim() == 2:
        yield from ((name, None, position, vector) for position, vector in enumerate(context, 1))
    else:
        for column in columns:
            label = learner.classnames[column]
            yield from ((name, label, position, vector) for position, vector in enumerate(context[column], 1))
