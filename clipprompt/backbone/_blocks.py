"""One pre-norm residual attention block of open_clip, walked from outside.

Prompt learning needs two things that open_clip's own forward cannot do: queries may attend to keys and values that were
computed elsewhere (a prefix shared by all classes), and the last layer may compute only the rows that are read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from open_clip.transformer import CustomResidualAttentionBlock, QuickGELU, ResidualAttentionBlock
from torch import Tensor, nn
from torch.nn import functional as F

from clipprompt.backbone._split import project_states
from clipprompt.errors import UserError

# Attribute of a block that holds its compiled walk.
COMPILED = "clipprompt_walk"


class KeysValues(NamedTuple):
    """Keys and values of one layer, each (N, heads, L, width / heads)."""

    keys: Tensor
    values: Tensor


Walk = Callable[
    [ResidualAttentionBlock, Tensor, KeysValues | None, Tensor | None, bool, Tensor | None], tuple[Tensor, KeysValues]
]


def check_blocks(blocks: nn.ModuleList, tower: str) -> None:
    """Refuses transformers whose blocks are not open_clip's standard ones.

    Raises:
        UserError: naming the tower and the kind of block.
    """
    for block in blocks:
        if type(block) is not ResidualAttentionBlock or not isinstance(block.attn, nn.MultiheadAttention):
            raise UserError(f"the {tower} tower is built of {type(block).__name__}, which is not supported")


def cast_layer_scales(model: nn.Module) -> None:
    """Gives layer scales the type of their block, where open_clip's low precision left them float32.

    A float32 scale makes float32 states, which the weights of the next layer cannot read.
    """
    for block in model.modules():
        if isinstance(block, ResidualAttentionBlock | CustomResidualAttentionBlock):
            for scale in (block.ls_1, block.ls_2):
                scale.to(block.mlp.c_fc.weight.dtype)


def keys_values(block: ResidualAttentionBlock, states: Tensor) -> KeysValues:
    """Keys and values that ``block`` computes from hidden ``states`` (N, L, width)."""
    return KeysValues(*_project(block, block.ln_1(states), 1, 3))


def run_block(
    block: ResidualAttentionBlock,
    states: Tensor,
    *,
    before: KeysValues | None = None,
    mask: Tensor | None = None,
    causal: bool = False,
    rows: Tensor | None = None,
) -> Tensor:
    """Runs one block.

    Args:
        block: the frozen block.
        states: hidden states (N, L, width).
        before: keys and values standing left of ``states``, which every position may attend to. G of them serve N
            sequences, N / G each, in order.
        mask: what is added to the attention's logits, (N or 1, L, Lp + L) with Lp positions in ``before``.
        causal: position i of ``states`` sees only positions up to i; in place of a mask, and without ``before``.
        rows: (N, M) the positions of each sequence whose output is wanted; the others serve only as keys and values.

    Returns:
        (N, L, width), or (N, M, width) when ``rows`` is given.
    """
    return run_block_and_keep(block, states, before=before, mask=mask, causal=causal, rows=rows)[0]


def run_block_and_keep(
    block: ResidualAttentionBlock,
    states: Tensor,
    *,
    before: KeysValues | None = None,
    mask: Tensor | None = None,
    causal: bool = False,
    rows: Tensor | None = None,
) -> tuple[Tensor, KeysValues]:
    """``run_block``, and the keys and values that ``states`` have in this block."""
    walk: Walk = getattr(block, COMPILED, walk_block)
    return walk(block, states, before, mask, causal, rows)


def walk_block(
    block: ResidualAttentionBlock,
    states: Tensor,
    before: KeysValues | None,
    mask: Tensor | None,
    causal: bool,
    rows: Tensor | None,
) -> tuple[Tensor, KeysValues]:
    """What ``run_block_and_keep`` runs, unless the block has a compiled walk."""
    normed = block.ln_1(states)
    if before is None and rows is None:
        queries, *both = _project(block, normed, 0, 3)
        own = KeysValues(*both)
    else:  # apart, so that the backward pass does not keep keys and values twice, alone and joined
        own = KeysValues(*_project(block, normed, 1, 3))
        if rows is not None:
            states, normed = _take(states, rows), _take(normed, rows)
            mask = None if mask is None else _take(mask, rows)
        (queries,) = _project(block, normed, 0, 1)
    keys, values = own if before is None else (_join(*pair) for pair in zip(before, own, strict=True))
    mask = None if mask is None else mask[:, None]  # the same for all heads
    mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, is_causal=causal)
    states = states + block.ls_1(block.attn.out_proj(mixed.transpose(1, 2).flatten(2)))
    return _feed_forward(block, states), own


def run_value_path(block: ResidualAttentionBlock, states: Tensor) -> Tensor:
    """The block with every position attending to itself alone: MaskCLIP's dense features (arXiv 2112.01071, 3.2).

    A softmax over one position is 1, so queries and keys are not computed.

    Args:
        block: the frozen block.
        states: hidden states (N, L, width).

    Returns:
        (N, L, width).
    """
    values = project_states(block.attn, block.ln_1(states), 2, 3)
    return _feed_forward(block, states + block.ls_1(block.attn.out_proj(values)))


def _project(block: ResidualAttentionBlock, normed: Tensor, first: int, last: int) -> tuple[Tensor, ...]:
    """Queries (0), keys (1) and values (2) by heads, those from ``first`` up to ``last`` in one product."""
    projected = project_states(block.attn, normed, first, last)
    split = projected.unflatten(-1, (last - first, block.attn.num_heads, -1))  # (N, L, parts, heads, width / heads)
    parts: tuple[Tensor, ...] = split.permute(2, 0, 3, 1, 4).unbind(0)
    return parts


def _join(before: Tensor, own: Tensor) -> Tensor:
    groups, n = len(before), len(own) // len(before)
    repeated = before[:, None].expand(-1, n, -1, -1, -1)
    return torch.cat([repeated, own.unflatten(0, (groups, n))], dim=-2).flatten(0, 1)


def _take(x: Tensor, rows: Tensor) -> Tensor:
    """Positions ``rows`` (N, M) of ``x`` (N or 1, L, …): (N, M, …)."""
    return x.expand(len(rows), -1, -1).gather(1, rows[..., None].expand(-1, -1, x.shape[-1]))


def _feed_forward(block: ResidualAttentionBlock, states: Tensor) -> Tensor:
    activate = _quick_gelu if isinstance(block.mlp.gelu, QuickGELU) else block.mlp.gelu
    out: Tensor = states + block.ls_2(block.mlp.c_proj(activate(block.mlp.c_fc(block.ln_2(states)))))
    return out


def _quick_gelu(x: Tensor) -> Tensor:
    """X sigmoid(1.702 x), written so that the backward pass keeps one tensor instead of two."""
    return F.silu(x * 1.702) / 1.702
