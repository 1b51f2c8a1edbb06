r"""The text tower, wrapped once: embeddings in, joint-space features out, with the shared left part run only once.

    classes      [start][ctx ctx ctx ctx][cat . end]            prefix (G, Lp, d)      suffix (C, Ls, d)
                 \______ prefix ________/\_ suffix _/
                           |                                    layer by layer: keys and values of the prefix
                 keys, values --------> read by C suffixes      layer by layer: the suffixes, packed into rows
                                             |
                                        end token -> ln_final -> projection        (G, C, E)

A causal tower makes a position depend only on what stands left of it, so the prefix does not know the class, positions
right of a text's end token are never read, and in the last layer only the end token's row is needed. The result is that
of the full computation up to float rounding (CLIP, arXiv 2103.00020, 2.4 for the tower itself).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from open_clip.model import CLIP
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from clipprompt.backbone._blocks import KeysValues, keys_values, run_block, run_block_and_keep
from clipprompt.backbone._layout import TextLayout
from clipprompt.backbone._packing import Packing, pack

# Positions whose activations are held for the backward pass: a quarter of a megabyte each in ViT-B/16's text tower.
POSITIONS_AT_ONCE = 8192


class TextTower:
    """A frozen causal text transformer of open_clip.

    Attributes:
        width: d, size of the token embeddings.
        context_length: longest text in tokens, start and end token included.
        layout: what stands around the words of a text.
    """

    kind = "causal"
    takes_deep_prompts = True

    def __init__(self, source: Any, layout: TextLayout) -> None:
        """Takes a ``TextTransformer``, or the ``CLIP`` that has swallowed one; ``reads_to_the_right`` must hold."""
        self._pool, self._end_id = reading(source)
        self.layout = layout
        self._embedding: nn.Embedding = source.token_embedding
        self._positions: Tensor = source.positional_embedding
        self._blocks = source.transformer.resblocks
        self._final_norm: nn.Module = source.ln_final
        self._projection: Any = source.text_projection
        self.width: int = self._embedding.embedding_dim
        self.context_length: int = self._positions.shape[0]
        self.n_layers: int = len(self._blocks)

    @property
    def dtype(self) -> torch.dtype:
        """The type in which the layers compute; norms and positions may be kept in another."""
        dtype: torch.dtype = self._blocks[0].attn.out_proj.weight.dtype
        return dtype

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """The layers, in order."""
        blocks: Sequence[nn.Module] = self._blocks
        return blocks

    def embed_tokens(self, tokens: Tensor) -> Tensor:
        """Token embeddings, without positions.

        Args:
            tokens: ids (…, L).

        Returns:
            float32 (…, L, d).
        """
        return F.embedding(tokens.to(self._positions.device), self._embedding.weight).float()

    def end_positions(self, tokens: Tensor) -> Tensor:
        """Where each text ends: the position of its end token, (N,) for ids (N, L)."""
        found = tokens if self._pool == "argmax" else (tokens == self._end_id).int()
        return found.argmax(dim=-1)

    def encode(
        self,
        suffix: Tensor,
        ends: Tensor,
        prefix: Tensor | None = None,
        deep: Tensor | None = None,
        *,
        positions_at_once: int | None = None,
    ) -> Tensor:
        """Features of C texts that share a left part, once for each of G left parts.

        Args:
            suffix: each class's own embeddings, right of the prefix: (C, Ls, d), or (G, C, Ls, d) where they differ.
            ends: (C,) index of the end token within the suffix.
            prefix: shared left parts (G, Lp, d), start token first; None when the suffix is the whole text.
            deep: prompts that replace those right of the start token before layers 1, 2, …:
                (J-1, n, d) or (J-1, G, n, d).
            positions_at_once: positions of the suffixes computed at a time. Of several such chunks only one holds its
                activations, the others compute them again in the backward pass, so that a thousand classes do not need
                the memory of all. Those of the left parts are always held. None: ``POSITIONS_AT_ONCE``.

        Returns:
            float32 (C, E), or (G, C, E) when there is a prefix. Not normalised.

        Raises:
            ValueError: if deep prompts are given without a prefix that holds them.
        """
        if prefix is None and deep is not None:
            raise ValueError("deep prompts need a prefix that they replace")
        keys = None if prefix is None else self._run_prefix(prefix, deep)
        groups, offset = (1, 0) if prefix is None else prefix.shape[:2]
        packing = pack(tuple((ends + 1).tolist()), suffix.device)
        states = self._embed_packed(suffix, packing, offset).expand(groups, -1, -1, -1)
        mask = _additive(F.pad(packing.sees(), (offset, 0), value=True), self.dtype)
        rows, length = packing.texts.shape
        pieces = _pieces(groups, rows, length, positions_at_once or POSITIONS_AT_ONCE)
        parts = []
        for piece in pieces:
            inputs = _cut(states, mask, packing.ends, keys, *piece)
            # The backward pass begins with the last piece, so it may keep what it has computed.
            if piece == pieces[-1] or not torch.is_grad_enabled():
                parts.append(self._run_suffix(*inputs))
            else:
                parts.append(checkpoint(self._run_suffix, *inputs, use_reentrant=False))
        features = torch.cat(parts).reshape(groups, rows * packing.ends.shape[1], -1).index_select(1, packing.order)
        return features if prefix is not None else features[0]

    def encode_tokens(self, tokens: Tensor) -> Tensor:
        """Features of plain texts. The left part that all of them have in common is computed once.

        Args:
            tokens: ids (N, L).

        Returns:
            float32 (N, E), not normalised.
        """
        tokens = tokens.to(self._positions.device)
        ends = self.end_positions(tokens)
        shared = _common_prefix(tokens, ends)
        embedded = self.embed_tokens(tokens[:, : int(ends.max()) + 1])
        if shared == 0:
            return self.encode(embedded, ends)
        return self.encode(embedded[:, shared:], ends - shared, embedded[:1, :shared])[0]

    def encode_all_tokens(self, tokens: Tensor) -> Tensor:
        """Every position of each text in the joint space, up to the longest end token.

        Positions right of a text's own end token hold meaningless values.

        Args:
            tokens: ids (N, L).

        Returns:
            float32 (N, longest end + 1, E), not normalised.
        """
        tokens = tokens.to(self._positions.device)
        used = int(self.end_positions(tokens).max()) + 1
        states = self.embed_tokens(tokens[:, :used]) + self._positions[:used].float()
        states = states.to(self.dtype)
        for block in self._blocks:
            states = run_block(block, states, causal=True)
        return self._project(states)

    def _embed_packed(self, suffix: Tensor, packing: Packing, offset: int) -> Tensor:
        """Hidden states (1 or G, R, K, d) of the suffixes, positions added, where ``packing`` puts them."""
        length = suffix.shape[-2]
        source = packing.texts.clamp(min=0) * length + packing.places
        flat = suffix.flatten(-3, -2).expand(suffix.shape[0] if suffix.dim() == 4 else 1, -1, -1)
        embedded = flat.index_select(1, source.flatten()).reshape(len(flat), *source.shape, self.width)
        return (embedded + self._positions[offset + packing.places].float()).to(self.dtype)

    def _run_prefix(self, prefix: Tensor, deep: Tensor | None) -> list[KeysValues]:
        states = (prefix + self._positions[: prefix.shape[1]].float()).to(self.dtype)
        keys, first = [], self.layout.n_start
        for layer, block in enumerate(self._blocks):
            if deep is not None and 1 <= layer <= deep.shape[0]:
                prompts = deep[layer - 1].to(states.dtype).expand(states.shape[0], -1, -1)
                states = torch.cat([states[:, :first], prompts, states[:, first + prompts.shape[1] :]], dim=1)
            if layer + 1 < self.n_layers:
                states, kept = run_block_and_keep(block, states, causal=True)
            else:  # what the last layer makes of the prefix is read by nobody
                kept = keys_values(block, states)
            keys.append(kept)
        return keys

    def _run_suffix(self, states: Tensor, mask: Tensor, ends: Tensor, keys: list[KeysValues] | None) -> Tensor:
        """Features (N M, E) at the ``ends`` (N, M) of N rows (N, K, d)."""
        for layer, block in enumerate(self._blocks):
            before = None if keys is None else keys[layer]
            read = ends if layer + 1 == self.n_layers else None
            states = run_block(block, states, before=before, mask=mask, rows=read)
        return self._project(states).flatten(0, 1)

    def _project(self, states: Tensor) -> Tensor:
        states = self._final_norm(states)
        if isinstance(self._projection, nn.Linear):
            states = self._projection(states)
        elif self._projection is not None:
            states = states @ self._projection
        return states.float()


def reading(source: Any) -> tuple[str, int]:
    """How a text transformer is read: its pool type, and the id of the end token for pool type ``eos``."""
    if isinstance(source, CLIP):
        return source.text_pool_type, source.text_eos_id
    return source.pool_type, source.eos_id


def reads_to_the_right(source: Any) -> bool:
    """Whether a text transformer is causal, read at its end token, and built of open_clip's standard blocks."""
    return (
        source.attn_mask is not None
        and getattr(source, "cls_emb", None) is None
        and reading(source)[0] in ("argmax", "eos")
        and all(type(block) is ResidualAttentionBlock for block in source.transformer.resblocks)
    )


def _common_prefix(tokens: Tensor, ends: Tensor) -> int:
    """Length of the left part that all rows share; 0 for a single row, where sharing gains nothing."""
    if tokens.shape[0] == 1:
        return 0
    differs = (tokens != tokens[:1]).any(dim=0).int()
    length = int(differs.argmax()) if bool(differs.any()) else tokens.shape[1]
    return min(length, int(ends.min()))


def _additive(sees: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.zeros(sees.shape, dtype=dtype, device=sees.device).masked_fill_(~sees, -torch.inf)


def _pieces(groups: int, rows: int, length: int, positions: int) -> list[tuple[slice, slice]]:
    """Cuts (groups, rows) of ``length`` positions each: several groups at a time, or parts of the rows of one."""
    n_rows = max(1, min(rows, positions // length))
    n_groups = max(1, positions // (rows * length))
    starts = ((g, r) for g in range(0, groups, n_groups) for r in range(0, rows, n_rows))
    return [(slice(g, g + n_groups), slice(r, r + n_rows)) for g, r in starts]


def _cut(
    states: Tensor, mask: Tensor, ends: Tensor, keys: list[KeysValues] | None, groups: slice, rows: slice
) -> tuple[Tensor, Tensor, Tensor, list[KeysValues] | None]:
    """The part of some groups and rows, as sequences one after another."""
    states = states[groups, rows]
    mask, ends = mask[rows].repeat(len(states), 1, 1), ends[rows].repeat(len(states), 1)
    keys = None if keys is None else [KeysValues(*(t[groups] for t in layer)) for layer in keys]
    return states.flatten(0, 1), mask, ends, keys
