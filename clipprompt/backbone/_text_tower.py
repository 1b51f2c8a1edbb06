"""What every text tower offers: embeddings in, joint-space features out, with contexts where words would stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from clipprompt.backbone._layout import TextLayout


class AnyTextTower(Protocol):
    """A frozen text tower. All features are float32 and not normalised.

    What stands right of a text's end token is the tower's own affair: one that reads from left to right leaves it out,
    one that sees its padding puts the padding there, up to ``context_length``.
    """

    kind: str
    """Causal or not, and the like: a few words for tables."""
    width: int
    """d, size of the token embeddings."""
    context_length: int
    """Longest text in tokens, all of it included."""
    n_layers: int
    takes_deep_prompts: bool
    """Whether ``encode`` can replace prompts between layers."""
    layout: TextLayout
    """What stands around the words of a text."""

    @property
    def dtype(self) -> torch.dtype:
        """The type in which the layers compute."""

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """The layers, where they are open_clip's; none where they are another library's."""

    def embed_tokens(self, tokens: Tensor) -> Tensor:
        """Token embeddings without positions, float32 (…, L, d), for ids (…, L)."""

    def end_positions(self, tokens: Tensor) -> Tensor:
        """The position of each text's end token, (N,) for ids (N, L)."""

    def encode(
        self,
        suffix: Tensor,
        ends: Tensor,
        prefix: Tensor | None = None,
        deep: Tensor | None = None,
        *,
        positions_at_once: int | None = None,
    ) -> Tensor:
        """Features (C, E), or (G, C, E) with a prefix, of C texts that share a left part (G, Lp, d)."""

    def encode_tokens(self, tokens: Tensor) -> Tensor:
        """Features (N, E) of plain texts, ids (N, L)."""

    def encode_all_tokens(self, tokens: Tensor) -> Tensor:
        """Every position up to the longest end token, (N, longest end + 1, E).

        The row of the end token is the text's own feature, wherever the tower reads it.
        """
