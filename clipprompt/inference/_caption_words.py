"""Which words of a caption each class attends to: the softmax weights of the local branch, joined to words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from clipprompt.inference._near_words import clip_tokenizer
from clipprompt.printable import printable

if TYPE_CHECKING:
    from clipprompt.learners import DenseLearner

START, END = "[start]", "[end]"
_AT_ONCE = 64


@dataclass(frozen=True)
class ClassAttention:
    """What one class attends to.

    Attributes:
        label: the class name.
        logit: the learner's logit of the class for this caption.
        weights: one per word of the caption, 0..1, summing to 1.
    """

    label: str
    logit: float
    weights: tuple[float, ...]


@dataclass(frozen=True)
class CaptionAttention:
    """A caption as the text tower reads it.

    Attributes:
        caption: as given.
        words: as the tokenizer writes them, from ``[start]`` to ``[end]``: the local branch looks at these, too.
        cut: whether the caption was too long and its end is missing.
        classes: the best classes, best first.
    """

    caption: str
    words: tuple[str, ...]
    cut: bool
    classes: tuple[ClassAttention, ...]


def attend(
    learner: DenseLearner, captions: Sequence[str], columns: Sequence[int], top: int
) -> Iterator[CaptionAttention]:
    """What the best ``top`` of some classes attend to in each caption (TaI-DPT, arXiv 2211.12739, eq. 3 and figure 3).

    Args:
        learner: with a local branch.
        captions: texts.
        columns: the classes to choose from, as indices.
        top: classes per caption.

    Raises:
        UserError: if the backbone's tokenizer is not CLIP's, whose words are known.
    """
    tokenizer = clip_tokenizer(learner.backbone)
    for start in range(0, len(captions), _AT_ONCE):
        part = captions[start : start + _AT_ONCE]
        tokens = learner.backbone.tokenize(part, truncate=True)
        with torch.no_grad():
            features = learner.encode_captions(tokens)
            logits = learner.logits_from(features)[:, list(columns)].cpu()
            cosines = (features.tokens @ learner.local_class_features().T).cpu()
            scale = float(learner.spatial_scale(features))
        lengths = features.lengths.tolist()
        for caption, ids, own, row in zip(part, tokens, cosines.split(lengths), logits, strict=True):
            words, word_of = _join(tokenizer, ids[: len(own)].tolist())
            weights = torch.zeros(len(words), own.shape[1])
            weights.index_add_(0, word_of, (scale * own).softmax(dim=0))
            best = row.argsort(descending=True, stable=True)[:top].tolist()
            classes = (_attention(learner.classnames, columns[i], row[i], weights) for i in best)
            yield CaptionAttention(caption, words, _is_cut(learner, caption, len(own)), tuple(classes))


def _attention(classnames: Sequence[str], column: int, logit: Tensor, weights: Tensor) -> ClassAttention:
    return ClassAttention(classnames[column], float(logit), tuple(weights[:, column].tolist()))


def _join(tokenizer: Any, ids: list[int]) -> tuple[tuple[str, ...], Tensor]:
    """The words of token ids, start and end token included, and the word (L,) that each token belongs to."""
    words, word_of = [START], [0]
    piece: list[int] = []
    for number in ids[1:-1]:
        word_of.append(len(words))
        piece.append(number)
        if tokenizer.decoder[number].endswith("</w>"):
            words.append(printable(tokenizer.decode(piece).strip()))
            piece = []
    if piece:  # cut within a word
        words.append(printable(tokenizer.decode(piece).strip()))
    return (*words, END), torch.tensor([*word_of, len(words)])


def _is_cut(learner: DenseLearner, caption: str, n_tokens: int) -> bool:
    backbone = learner.backbone
    if n_tokens < backbone.context_length:
        return False
    longer = backbone.tokenizer([caption], context_length=backbone.context_length + 1)
    return int(backbone.text.end_positions(longer)) >= backbone.context_length
