"""A backbone to put modules into: the structure is copied, the numbers are not."""

from __future__ import annotations

import copy
from itertools import chain
from typing import Any, TypeVar

from torch import nn

from clipprompt.backbone._blocks import COMPILED

T = TypeVar("T")


def fork(backbone: T) -> T:
    """A copy of a backbone's modules and towers whose parameters and buffers are the same tensors.

    What is put into it is seen by nobody else, and it takes no memory worth the name. A number that changes in place
    changes in both: whoever wants others sets a parameter of their own. What reads texts and pictures is shared.
    Compiled walks are left out: they know the blocks as they were.

    Args:
        backbone: of open_clip or of timm; itself not changed.
    """
    shared: list[Any] = [vars(backbone).get(name) for name in ("_tokenizer", "preprocess")]
    for part in _modules(backbone):
        shared += chain(part.parameters(), part.buffers())
    copied = copy.deepcopy(backbone, {id(part): part for part in shared if part is not None})
    for part in _modules(copied):
        for module in part.modules():
            vars(module).pop(COMPILED, None)
    return copied


def _modules(backbone: object) -> list[nn.Module]:
    return [part for part in vars(backbone).values() if isinstance(part, nn.Module)]
