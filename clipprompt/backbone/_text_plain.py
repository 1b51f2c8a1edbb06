"""Text transformers of open_clip that are no causal ones read at the end token.

SigLIP (arXiv 2303.15343), CLIPA (2305.07017) and MobileCLIP (2311.17049) attend in both directions and see the padding;
the feature is that of the last position or of the end token. CoCa (2205.01917) reads from left to right, up to a class
token behind the padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipprompt.backbone._layout import TextLayout
from clipprompt.backbone._text import reading
from clipprompt.backbone._text_whole import WholeTextTower
from clipprompt.errors import UserError


class PlainTextTower(WholeTextTower):
    """A frozen text transformer of open_clip with any mask, pooling and blocks."""

    takes_deep_prompts = True

    def __init__(self, source: Any, layout: TextLayout, name: str) -> None:
        """Takes a ``TextTransformer``, or the ``CLIP`` that has swallowed one.

        Raises:
            UserError: if contexts cannot be put into its texts.
        """
        pool, end = reading(source)
        super().__init__(layout)
        self.width: int = source.token_embedding.embedding_dim
        self.n_layers: int = len(source.transformer.resblocks)
        self._source = source
        self._class_token: Tensor | None = getattr(source, "cls_emb", None)
        self._masks_padding = self._class_token is not None or getattr(source, "use_pad_mask", False)
        self._class_mask_is_last = getattr(source, "correct_cls_mask", False)
        self._read = "last" if self._class_token is not None else "end" if pool in ("argmax", "eos") else pool
        whole = "bidirectional" if source.attn_mask is None else "causal, whole texts"
        self.kind = whole if self._class_token is None else "class token"
        self._check_reading(pool, end, name)

    @property
    def dtype(self) -> torch.dtype:
        """The type in which the layers compute; norms and positions may be kept in another."""
        dtype: torch.dtype = self._source.transformer.get_cast_dtype()
        return dtype

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """The layers, in order."""
        blocks: Sequence[nn.Module] = self._source.transformer.resblocks
        return blocks

    def embed_tokens(self, tokens: Tensor) -> Tensor:
        """Token embeddings (…, L, d), float32 and without positions, of ids (…, L)."""
        weight = self._source.token_embedding.weight
        return F.embedding(tokens.to(weight.device), weight).float()

    def _run(self, embedded: Tensor, ends: Tensor, deep: Tensor | None) -> tuple[Tensor, Tensor]:
        places = self.layout.places_after(ends)
        states = self._complete(embedded, places)
        if self._class_token is not None:
            states = torch.cat([states, self._class_token.float().expand(len(states), 1, -1)], dim=1)
        states = (states + self._source.positional_embedding.float()).to(self.dtype)
        mask, first = self._mask(places), self.layout.n_start
        for layer, block in enumerate(self._source.transformer.resblocks):
            if deep is not None and 1 <= layer <= len(deep):
                prompts = deep[layer - 1].to(states.dtype).expand(len(states), -1, -1)
                states = torch.cat([states[:, :first], prompts, states[:, first + prompts.shape[1] :]], dim=1)
            states = block(states, attn_mask=mask)
        if self._read == "end":
            return states, states[torch.arange(len(states), device=states.device), ends]
        return states, states[:, 0 if self._read == "first" else -1]

    def _mask(self, places: Tensor) -> Tensor | None:
        """Added to the attention: None, (S, S), or (N * heads, S, S) where padding is hidden."""
        causal: Tensor | None = self._source.attn_mask
        if not self._masks_padding:
            return causal
        ending = torch.tensor(self.layout.ending, device=places.device)
        seen = (places <= 0) | (ending[places.clamp(min=0)] != self._source.pad_id)
        if self._class_token is not None:  # CoCa's mask has the class token in front of the text, where it is not
            seen = F.pad(seen, (0, 1) if self._class_mask_is_last else (1, 0), value=True)
        hidden = torch.zeros(seen.shape, device=seen.device).masked_fill(~seen, -torch.inf)[:, None]
        mask = hidden.expand(-1, seen.shape[1], -1) if causal is None else hidden + causal
        return mask.to(self.dtype).repeat_interleave(self._source.heads, dim=0)

    def _project(self, states: Tensor) -> Tensor:
        states = self._source.ln_final(states)
        projection = self._source.text_projection
        if isinstance(projection, nn.Linear):
            states = projection(states)
        elif projection is not None:
            states = states @ projection
        return states.float()

    def _check_reading(self, pool: str, end: int, name: str) -> None:
        if self._read not in ("end", "first", "last"):
            raise UserError(f"the text tower of {name!r} has no feature for a whole text (pool type {pool!r})")
        tokens = self.layout.check()
        read = end if pool == "eos" else int(tokens.max())
        if self._read == "end" and self.layout.end != read:
            raise UserError(
                f"the tokenizer of {name!r} does not end its texts with the token that its text tower reads"
            )
