"""Reads the words around a context out of a checkpoint, and so finds out what it was trained on.

Those checkpoints hold the embeddings right of the context: left-over words, class name, full stop, end token, padding.
Each is a row of CLIP's token table, so it says which token it was; no row at all says that this is another CLIP.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.learners import check_classnames

_ROUNDING = 2e-3  # of a row's length; float16 keeps three digits


class Words(NamedTuple):
    """What stands right of the context.

    Attributes:
        left_over: words between context and class name, the same for all classes; None where they cannot be told.
        difference: how the class names differ from the given ones, as half a sentence; empty if they do not.
    """

    left_over: str | None
    difference: str


def read_words(suffix: Tensor, backbone: Backbone, classnames: Sequence[str]) -> Words | None:
    """Compares the words in a checkpoint with class names.

    Args:
        suffix: embeddings (C, L, d) right of the context.
        backbone: gives tokenizer and token table.
        classnames: those that the prompt is said to be trained on.

    Returns:
        What was found, or None if the backbone's tokenizer does not tell how many tokens it has.

    Raises:
        UserError: if the embeddings are none of this backbone's.
    """
    n_tokens = getattr(backbone.tokenizer, "vocab_size", None)
    if n_tokens is None:
        return None
    ids = _nearest_tokens(suffix.float(), backbone, n_tokens)
    texts = [_until_end(row, backbone.tokenizer.eot_token_id) for row in ids.tolist()]
    expected = [_tokens(backbone, f"{name}.") for name in check_classnames(classnames)]
    if len(texts) != len(expected):
        return Words(None, f"it was trained on {len(texts)} classes, not {len(expected)}")
    pairs = list(zip(texts, expected, strict=True))
    rests = [text[: -len(name)] if text[-len(name) :] == name else None for text, name in pairs]
    for number, rest in enumerate(rests):
        if rest is None or rest != rests[0]:
            said = _decode(backbone, texts[number]).removesuffix(".").strip()
            return Words(None, f"class {number + 1} is {said!r} there, not {classnames[number]!r}")
    return Words(_decode(backbone, rests[0] or []), "")


def _nearest_tokens(suffix: Tensor, backbone: Backbone, n_tokens: int) -> Tensor:
    """The token (C, L) whose embedding each row is."""
    table = backbone.text.embed_tokens(torch.arange(n_tokens)).cpu()
    if suffix.dim() != 3 or suffix.shape[2] != table.shape[1]:
        raise UserError(
            f"'token_suffix' has shape {tuple(suffix.shape)}, but {backbone.name} has tokens of width "
            f"{table.shape[1]}: was the prompt learnt on another backbone?"
        )
    rows, places = torch.unique(suffix.flatten(0, 1), dim=0, return_inverse=True)
    nearest = torch.cat([torch.cdist(part, table).argmin(dim=1) for part in rows.split(256)])
    distance = (rows - table[nearest]).norm(dim=1)
    if (distance > _ROUNDING * rows.norm(dim=1).clamp(min=1e-6)).any():
        raise UserError(
            f"the prompt was learnt on other weights than {backbone.name} {backbone.pretrained or ''}: the embeddings "
            "of its class names are not among this backbone's; name the right --backbone and --pretrained"
        )
    return nearest[places].reshape(suffix.shape[:2])


def _until_end(ids: list[int], end: int) -> list[int]:
    return ids[: ids.index(end)] if end in ids else ids


def _tokens(backbone: Backbone, text: str) -> list[int]:
    row = backbone.tokenize([text])
    ids: list[int] = row[0, 1 : int(backbone.text.end_positions(row))].tolist()
    return ids


def _decode(backbone: Backbone, ids: list[int]) -> str:
    return str(backbone.tokenizer.decode(ids)).strip()
