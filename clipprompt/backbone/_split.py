"""Queries, keys and values of an attention, packed in one product or as layers of their own, read by one function.

open_clip and timm keep three matrices in one tensor. What is put beside one of them (LoRA, arXiv 2106.09685) needs a
layer that is that one alone: a view of its rows, which takes no memory.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SplitProjection(nn.Module):
    """Three linear layers over the rows of one packed weight (3 W, W); gives what the packed layer gives."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        weights = weight.detach().chunk(3)
        biases = (None, None, None) if bias is None else bias.detach().chunk(3)
        self.q_proj, self.k_proj, self.v_proj = map(_layer_over, weights, biases)

    def parts(self, first: int, last: int) -> tuple[nn.Module, ...]:
        """The layers of queries (0), keys (1) and values (2), from ``first`` up to ``last``."""
        return (self.q_proj, self.k_proj, self.v_proj)[first:last]

    def forward(self, states: Tensor) -> Tensor:
        """Queries, keys and values (…, 3 W) of states (…, W)."""
        return torch.cat([part(states) for part in self.parts(0, 3)], dim=-1)


class SplitAttention(nn.Module):
    """open_clip's packed ``nn.MultiheadAttention`` with layers of its own for queries, keys and values."""

    def __init__(self, packed: nn.MultiheadAttention) -> None:
        super().__init__()
        assert packed.in_proj_weight is not None
        self.embed_dim, self.num_heads = packed.embed_dim, packed.num_heads
        self.in_proj = SplitProjection(packed.in_proj_weight, packed.in_proj_bias)
        self.out_proj: nn.Module = packed.out_proj

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, *, need_weights: bool = False, attn_mask: Tensor | None = None
    ) -> tuple[Tensor, None]:
        """What the packed one gives where a block of open_clip calls it, batch first: (N, L, W), and no weights."""
        inputs = (query, key, value)
        queries, keys, values = (
            part(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for part, x in zip(self.in_proj.parts(0, 3), inputs, strict=True)
        )
        if attn_mask is not None and attn_mask.dim() == 3:
            attn_mask = attn_mask.unflatten(0, (-1, self.num_heads))
        mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=attn_mask)
        return self.out_proj(mixed.transpose(1, 2).flatten(2)), None


def project_states(attention: nn.MultiheadAttention | SplitAttention, states: Tensor, first: int, last: int) -> Tensor:
    """Queries (0), keys (1) and values (2) from ``first`` up to ``last``, one beside the other.

    Args:
        attention: packed or split.
        states: normed hidden states (N, L, W).
        first: the first of them.
        last: the one behind the last.

    Returns:
        (N, L, (last - first) W).
    """
    if isinstance(attention, SplitAttention):
        return torch.cat([part(states) for part in attention.in_proj.parts(first, last)], dim=-1)
    rows = slice(first * attention.embed_dim, last * attention.embed_dim)
    weight, bias = attention.in_proj_weight, attention.in_proj_bias
    return F.linear(states, weight[rows], None if bias is None else bias[rows])


class Projection(NamedTuple):
    """Where a block keeps one of its matrices.

    Attributes:
        weight: the parameter's name within the block as it was made.
        layer: the linear layer's name within the block once attention is split.
        rows: which third of the weight it is; None for all of it.
    """

    weight: str
    layer: str
    rows: int | None = None


def projections_of(block: nn.Module) -> dict[str, Projection]:
    """The linear layers of a block of open_clip or timm: those of q, k, v, out, fc1, fc2 that it has."""
    found: dict[str, Projection] = {}
    attention, feed_forward = getattr(block, "attn", None), getattr(block, "mlp", None)
    if isinstance(attention, nn.MultiheadAttention):
        for row, letter in enumerate("qkv"):
            found[letter] = Projection("attn.in_proj_weight", f"attn.in_proj.{letter}_proj", row)
    elif isinstance(getattr(attention, "qkv", None), nn.Linear):
        for row, letter in enumerate("qkv"):
            found[letter] = Projection("attn.qkv.weight", f"attn.qkv.{letter}_proj", row)
    names = [(letter, "attn", f"{letter}_proj") for letter in "qkv"]
    names += [("out", "attn", "out_proj"), ("out", "attn", "proj")]
    names += [("fc1", "mlp", "c_fc"), ("fc1", "mlp", "fc1"), ("fc2", "mlp", "c_proj"), ("fc2", "mlp", "fc2")]
    for letter, part, name in names:
        owner = attention if part == "attn" else feed_forward
        if isinstance(getattr(owner, name, None), nn.Linear):
            found[letter] = Projection(f"{part}.{name}.weight", f"{part}.{name}")
    return found


def split_attention(block: Any) -> None:
    """Gives the attention of a block of a fork layers of their own for q, k and v, over the rows of the same tensors.

    A block whose attention has them already stays as it is.
    """
    attention = block.attn
    if isinstance(attention, nn.MultiheadAttention):
        block.attn = SplitAttention(attention)
    elif isinstance(getattr(attention, "qkv", None), nn.Linear):
        _split_timm(attention)


def _split_timm(attention: Any) -> None:
    packed, bias = attention.qkv, attention.qkv.bias
    if getattr(attention, "q_bias", None) is not None:  # EVA keeps the biases apart, for the keys have none
        bias = torch.cat([attention.q_bias, attention.k_bias, attention.v_bias])
        attention.q_bias = attention.k_bias = attention.v_bias = None
    attention.qkv = SplitProjection(packed.weight, bias)


def _layer_over(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    layer = nn.utils.skip_init(nn.Linear, weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    assert isinstance(layer, nn.Linear)
    layer.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias, requires_grad=False)
    return layer
