"""``torch.compile`` by regions: the walk through one block is compiled, and all blocks of a tower run it.

A whole tower compiles for minutes, and again for every other number of classes; one block with its sizes left open
compiles in seconds. What is compiled hangs on the block itself; other backbones, and torch's settings, are not touched.

Measured with ViT-B/16 in float32 on a CPU: nothing gained for CoOp and 5 % for MaPLe, after half a minute of compiling,
for matrix products are where the time goes, and they are the same. It is meant for GPUs, where a block's many small
kernels are fused.
"""

from __future__ import annotations

import warnings
from typing import Any, cast

import torch
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor, nn

from clipprompt.backbone._blocks import COMPILED, KeysValues, Walk, walk_block
from clipprompt.errors import UserError

# With and without gradients, prefix, mask and rows: more forms of the walk than torch keeps by itself.
_FORMS = 64


def compile_blocks(model: nn.Module, device: torch.device) -> int:
    """Compiles the walk through open_clip's own blocks; towers built of others stay as they are.

    The compiler runs when a form of the walk is first needed.

    Args:
        model: the open_clip model.
        device: where its weights are.

    Returns:
        The number of blocks that run compiled.

    Raises:
        UserError: if nothing can be compiled here, for want of a C++ compiler or of Triton.
    """
    _try_compiler(device)
    blocks = [module for module in model.modules() if type(module) is ResidualAttentionBlock]
    walk = _many_forms(torch.compile(walk_block, dynamic=True))
    for block in blocks:
        setattr(block, COMPILED, walk)
    return len(blocks)


def _many_forms(compiled: Any) -> Walk:
    def walk(*args: Any) -> tuple[Tensor, KeysValues]:
        with torch._dynamo.config.patch(recompile_limit=_FORMS):  # put back after the call
            result: tuple[Tensor, KeysValues] = compiled(*args)
        return result

    return walk


def _try_compiler(device: torch.device) -> None:
    sample, settings = torch.ones(8, device=device), cast(Any, torch.compiler.config)
    try:
        # What lies in a cache would need no compiler; that nothing is kept, torch warns.
        with warnings.catch_warnings(), settings.patch(force_disable_caches=True):
            warnings.simplefilter("ignore")
            torch.compile(_sample, dynamic=True)(sample)
    except Exception as error:  # each backend of torch.compile has errors of its own
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UserError(
            f"torch.compile does not work on {device.type} here ({reason}): "
            f"install {'Triton' if device.type == 'cuda' else 'a C++ compiler'}, or do without compiling"
        ) from error


def _sample(x: Tensor) -> Tensor:
    return x * 2 + 1
