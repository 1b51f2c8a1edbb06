r"""How a tokenizer lays a text out, read off its own answers, so that a context can stand where words would.

CLIP        [start] a photo . [end]  0   0  …         read at the end token, padding is never seen
SigLIP              a photo   [end] [end] …           read at the last position, padding is seen
CLIPA       [CLS]   a photo .  0   0  …               the same, with its separator turned into padding
XLM-R       [<s>]   a photo . [</s>] pad …            averaged up to the end token, padding is masked
            \start/ \content/ \______ ending ______/
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from clipprompt.errors import UserError

_WORD = "a"  # one that every vocabulary has


class TextLayout:
    """What stands around the words of a text. The tokenizer is asked when the first answer is needed.

    Attributes:
        length: longest text in tokens, all of it included.
    """

    def __init__(self, tokenizer: Any, length: int, name: str) -> None:
        """Takes the tokenizer of the backbone ``name``, and the length of its text tower."""
        self._tokenizer = tokenizer
        self._name = name
        self.length = length

    @cached_property
    def n_start(self) -> int:
        """Tokens before the first word: one for CLIP, none for SigLIP."""
        empty, word = self._rows(["", _WORD])
        differs = (i for i, (one, other) in enumerate(zip(empty, word, strict=True)) if one != other)
        return next(differs, self.length)

    @cached_property
    def ending(self) -> tuple[int, ...]:
        """What follows the words of an empty text: its end token, then padding up to ``length``."""
        return tuple(self._rows([""])[0][self.n_start :])

    @property
    def end(self) -> int:
        """The token that follows the last word; where a tokenizer drops its end token, this is the padding."""
        return self.ending[0]

    @cached_property
    def n_lead(self) -> int:
        """Tokens of the word that :meth:`continued` puts in front."""
        return self._count(_WORD)

    @cached_property
    def n_stop(self) -> int:
        """Tokens of a full stop after a word; none where the tokenizer drops punctuation."""
        return self._count(f"{_WORD}.") - self.n_lead

    def continued(self, text: str) -> str:
        """``text`` behind a word, as it stands behind a context.

        Many vocabularies know a word in the middle of a text as another token than the same word at its beginning.
        """
        return f"{_WORD} {text}"

    def end_positions(self, tokens: Tensor) -> Tensor:
        """Where each text ends: (N,) for ids (N, L). A text that was cut without an end token ends where it is cut."""
        found = tokens[:, self.n_start :] == self.end
        last = torch.full_like(tokens[:, 0], tokens.shape[1] - 1)
        return torch.where(found.any(dim=1), found.int().argmax(dim=1) + self.n_start, last)

    def places_after(self, ends: Tensor) -> Tensor:
        """For texts that end at ``ends`` (N,), the place in ``ending`` of every position: (N, length).

        Negative before the end token. A token behind the padding, such as a class token, stays the last one.
        """
        places = torch.arange(self.length, device=ends.device) - ends[:, None]
        if self._has_tail:
            places[:, -1] = torch.where(places[:, -1] > 0, len(self.ending) - 1, places[:, -1])
        return places

    def check(self) -> Tensor:
        """Compares the layout with a text as the tokenizer writes it.

        Returns:
            That text's ids (1, L).

        Raises:
            UserError: if contexts cannot be put into texts of this tokenizer.
        """
        tokens = torch.tensor(self._rows([f"{_WORD} {_WORD}."]))
        if self.n_start < self.length == tokens.shape[1]:
            places = self.places_after(self.end_positions(tokens))
            if torch.equal(torch.tensor(self.ending)[places.clamp(min=0)].where(places >= 0, tokens), tokens):
                return tokens
        raise UserError(f"the tokenizer of {self._name!r} ends or pads its texts in a way that is not supported")

    @property
    def _has_tail(self) -> bool:
        return self.ending[-1] != self.ending[-2]

    def _count(self, text: str) -> int:
        return int(self.end_positions(torch.tensor(self._rows([text])))) - self.n_start

    def _rows(self, texts: list[str]) -> list[list[int]]:
        rows: list[list[int]] = torch.as_tensor(self._tokenizer(texts, context_length=self.length)).tolist()
        return rows
