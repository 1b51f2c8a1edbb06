"""What attention weighs, read off any layer that mixes with ``scaled_dot_product_attention``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from clipprompt.errors import UserError


def attention_weights(run: Callable[[], Tensor]) -> Tensor:
    """The weights with which a layer mixes its tokens, whatever turns, norms and projections lead to them.

    Fused attention never has them; they are computed again from the queries and keys that it is called with.

    Args:
        run: runs one layer.

    Returns:
        float32 (B, heads, L, L), rows sum to 1.

    Raises:
        UserError: if the layer attends otherwise.
    """
    with _Recorder() as recorder, torch.compiler.set_stance("force_eager"):
        run()
    if recorder.pair is None:
        raise UserError("this image tower's layers do not attend in a way that can be shown")
    queries, keys = (part.float() for part in recorder.pair)
    return torch.softmax(queries @ keys.transpose(-2, -1) * queries.shape[-1] ** -0.5, dim=-1)


class _Recorder(TorchFunctionMode):
    pair: tuple[Tensor, Tensor] | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.scaled_dot_product_attention:
            self.pair = args[:2]
        return func(*args, **(kwargs or {}))
