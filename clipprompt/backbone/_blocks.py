"""One pre-norm residual attention block of open_clip, walked from outside.

Prompt learning needs two things that open_clip's own forward cannot do: queries may attend to keys and values that were
computed elsewhere (a prefix shared by all classes), and the last layer may compute only the rows that are read.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor, nn
from torch.nn import functional as F

from clipprompt.errors import UserError


class KeysValues(NamedTuple):
    """Keys and values of one layer, each (N, heads, L, width / heads)."""

    keys: Tensor
    values: Tensor

    def repeat_each(self, n: int) -> KeysValues:
        """Repeats every row ``n`` times: (N, …) becomes (N * n, …)."""
        return KeysValues(*(t[:, None].expand(-1, n, -1, -1, -1).flatten(0, 1) for t in self))


def check_blocks(blocks: nn.ModuleList, tower: str) -> None:
    """Refuses transformers whose blocks are not open_clip's standard ones.

    Raises:
        UserError: naming the tower and the kind of block.
    """
    for block in blocks:
        if type(block) is not ResidualAttentionBlock or not isinstance(block.attn, nn.MultiheadAttention):
            raise UserError(f"the {tower} tower is built of {type(block).__name__}, which is not supported")


def keys_values(block: ResidualAttentionBlock, states: Tensor) -> KeysValues:
    """Keys and values that ``block`` computes from hidden ``states`` (N, L, width)."""
    attention = block.attn
    width = attention.embed_dim
    keys, values = F.linear(block.ln_1(states), attention.in_proj_weight[width:], attention.in_proj_bias[width:]).chunk(
        2, dim=-1
    )
    return KeysValues(_split_heads(keys, attention.num_heads), _split_heads(values, attention.num_heads))


def run_block(
    block: ResidualAttentionBlock,
    states: Tensor,
    *,
    before: KeysValues | None = None,
    causal: bool = False,
    rows: Tensor | None = None,
    own: KeysValues | None = None,
) -> Tensor:
    """Runs one block.

    Args:
        block: the frozen block.
        states: hidden states (N, L, width).
        before: keys and values standing left of ``states``, which every row may attend to.
        causal: position i of ``states`` sees only positions up to i (and all of ``before``).
        rows: (N,) the one position per sequence whose output is wanted; the others serve only as keys and values.
        own: ``keys_values(block, states)`` where the caller has them already.

    Returns:
        (N, L, width), or (N, 1, width) when ``rows`` is given.
    """
    attention = block.attn
    width, length = attention.embed_dim, states.shape[1]
    own = own or keys_values(block, states)
    keys, values = own if before is None else (torch.cat(pair, dim=2) for pair in zip(before, own, strict=True))
    if rows is not None:
        states = states.gather(1, rows[:, None, None].expand(-1, 1, states.shape[-1]))
    queries = F.linear(block.ln_1(states), attention.in_proj_weight[:width], attention.in_proj_bias[:width])
    mask = _causal_mask(length, keys.shape[2], rows, states.device) if causal else None
    mixed = F.scaled_dot_product_attention(_split_heads(queries, attention.num_heads), keys, values, attn_mask=mask)
    mixed = attention.out_proj(mixed.transpose(1, 2).flatten(2))
    return _feed_forward(block, states + block.ls_1(mixed))


def run_value_path(block: ResidualAttentionBlock, states: Tensor) -> Tensor:
    """The block with every position attending to itself alone: MaskCLIP's dense features (arXiv 2112.01071, 3.2).

    A softmax over one position is 1, so queries and keys are not computed.

    Args:
        block: the frozen block.
        states: hidden states (N, L, width).

    Returns:
        (N, L, width).
    """
    attention = block.attn
    start = 2 * attention.embed_dim
    values = F.linear(block.ln_1(states), attention.in_proj_weight[start:], attention.in_proj_bias[start:])
    return _feed_forward(block, states + block.ls_1(attention.out_proj(values)))


def _feed_forward(block: ResidualAttentionBlock, states: Tensor) -> Tensor:
    out: Tensor = states + block.ls_2(block.mlp(block.ln_2(states)))
    return out


def _split_heads(x: Tensor, heads: int) -> Tensor:
    split: Tensor = x.unflatten(-1, (heads, -1))
    return split.transpose(1, 2)


def _causal_mask(length: int, n_keys: int, rows: Tensor | None, device: torch.device) -> Tensor:
    # Boolean (True = may attend), broadcast over heads; the keys end where the states end.
    columns = torch.arange(n_keys, device=device)
    if rows is None:
        own = torch.arange(length, device=device) + n_keys - length
        return columns <= own[:, None]
    return columns <= (rows + n_keys - length)[:, None, None, None]
