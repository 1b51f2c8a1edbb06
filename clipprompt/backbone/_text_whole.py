r"""Text towers that are computed over whole texts, since a position depends on more than what stands left of it.

    [start][ctx … ctx][cat . end][padding … padding]   -> tower -> feature
     \__ prefix _____/\_ suffix _/\_ put here _________/

Nothing is shared between classes, so a class costs all positions; the numbers are those of open_clip's own forward.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from clipprompt.backbone._layout import TextLayout
from clipprompt.backbone._text import POSITIONS_AT_ONCE


class WholeTextTower(ABC):
    """A frozen text tower that sees a text from both sides, or is read behind its end token.

    Attributes:
        kind: a few words for tables.
        width: d, size of the token embeddings.
        context_length: longest text in tokens, all of it included.
        n_layers: of the transformer.
        layout: what stands around the words of a text.
    """

    kind: str
    width: int
    n_layers: int
    takes_deep_prompts: bool

    def __init__(self, layout: TextLayout) -> None:
        self.layout = layout
        self.context_length: int = layout.length

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """The type in which the layers compute; norms and positions may be kept in another."""

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """The layers, where they are open_clip's."""
        return ()

    @abstractmethod
    def embed_tokens(self, tokens: Tensor) -> Tensor:
        """Token embeddings, without positions.

        Args:
            tokens: ids (…, L).

        Returns:
            float32 (…, L, d).
        """

    @abstractmethod
    def _run(self, embedded: Tensor, ends: Tensor, deep: Tensor | None) -> tuple[Tensor, Tensor]:
        """Runs embedded texts (N, L, d) whose end tokens stand at ``ends`` (N,).

        Returns:
            The states (N, L or more, d) of their positions, and the one (N, d) of each whole text; not projected.
        """

    @abstractmethod
    def _project(self, states: Tensor) -> Tensor:
        """States (…, d) into the joint space, float32 (…, E)."""

    def end_positions(self, tokens: Tensor) -> Tensor:
        """Where each text ends: the position of its end token, (N,) for ids (N, L)."""
        return self.layout.end_positions(tokens)

    def encode(
        self,
        suffix: Tensor,
        ends: Tensor,
        prefix: Tensor | None = None,
        deep: Tensor | None = None,
        *,
        positions_at_once: int | None = None,
    ) -> Tensor:
        """Takes and gives what :meth:`TextTower.encode` does; nothing is shared, and every text costs all positions.

        Raises:
            ValueError: if deep prompts are given without a prefix that holds them.
        """
        if prefix is None and deep is not None:
            raise ValueError("deep prompts need a prefix that they replace")
        left = suffix.new_empty(1, 0, self.width) if prefix is None else prefix
        groups, n_classes = left.shape[0], suffix.shape[-3]
        suffix = suffix.expand(groups, *suffix.shape[-3:])
        texts = range(groups * n_classes)  # group after group
        step = max(1, (positions_at_once or POSITIONS_AT_ONCE) // self.context_length)
        parts = []
        for start in texts[::step]:
            chosen = torch.tensor(texts[start : start + step], device=suffix.device)
            group, number = chosen // n_classes, chosen % n_classes
            prompts = deep if deep is None or deep.dim() == 3 else deep.expand(-1, groups, -1, -1)[:, group]
            inputs = (torch.cat([left[group], suffix[group, number]], dim=1), ends[number] + left.shape[1], prompts)
            if step < len(texts) and torch.is_grad_enabled():
                parts.append(checkpoint(self._features, *inputs, use_reentrant=False))
            else:
                parts.append(self._features(*inputs))
        features = torch.cat(parts)
        return features if prefix is None else features.unflatten(0, (groups, n_classes))

    def encode_tokens(self, tokens: Tensor) -> Tensor:
        """Features of plain texts.

        Args:
            tokens: ids (N, L).

        Returns:
            float32 (N, E), not normalised.
        """
        ends = self.end_positions(tokens)
        embedded = self.embed_tokens(tokens[:, : int(ends.max()) + 1])
        return self.encode(embedded, ends.to(embedded.device))

    def encode_all_tokens(self, tokens: Tensor) -> Tensor:
        """Every position of each text in the joint space, up to the longest end token.

        Args:
            tokens: ids (N, L).

        Returns:
            float32 (N, longest end + 1, E), not normalised. The row of a text's end token is its own feature, wherever
            the tower reads it; positions right of it hold padding.
        """
        ends = self.end_positions(tokens)
        used = int(ends.max()) + 1
        embedded = self.embed_tokens(tokens[:, :used])
        ends = ends.to(embedded.device)
        states, own = self._run(embedded, ends, None)
        rows = torch.arange(used, device=ends.device)[:, None] == ends[:, None, None]
        return self._project(torch.where(rows, own[:, None], states[:, :used]))

    def _features(self, embedded: Tensor, ends: Tensor, deep: Tensor | None) -> Tensor:
        return self._project(self._run(embedded, ends, deep)[1])

    def _complete(self, embedded: Tensor, places: Tensor) -> Tensor:
        """Puts what stands right of the end token into texts (N, L, d): (N, context length, d)."""
        ending = self.embed_tokens(torch.tensor(self.layout.ending))
        states = F.pad(embedded, (0, 0, 0, self.context_length - embedded.shape[1]))
        return torch.where(places[..., None] > 0, ending[places.clamp(min=0)], states)
