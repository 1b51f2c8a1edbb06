"""One step's gradients by several threads, each on its own rows and its own single core.

Small matrices gain little from threads inside an operation, and where cores are shared with other work every such
operation waits for its slowest part. Here threads wait for each other once a step.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


class Replicas:
    """A module and copies of it that share its weights but not its gradients."""

    def __init__(self, module: nn.Module, n: int) -> None:
        self.module = module
        self._modules = [module, *(_sharing_copy(module) for _ in range(n - 1))]
        self._pool = ThreadPoolExecutor(n)

    def gradients(self, loss: Callable[[nn.Module, NDArray[np.int64]], Tensor], rows: NDArray[np.int64]) -> float:
        """Sets the gradients of the module to those of the mean loss over ``rows``.

        Args:
            loss: mean loss of a module on some rows.
            rows: which rows of the data (B,).

        Returns:
            The loss.
        """

        def work(module: nn.Module, share: NDArray[np.int64]) -> float:
            module.zero_grad(set_to_none=True)
            part = loss(module, share) * (len(share) / len(rows))
            torch.autograd.backward(part)
            return float(part.detach())

        total = sum(self._pool.map(work, self._modules, np.array_split(rows, len(self._modules))))
        for first, *others in zip(*(module.parameters() for module in self._modules), strict=True):
            for other in others:
                if first.grad is not None and other.grad is not None:
                    first.grad.add_(other.grad)
        return total


def _sharing_copy(module: Module) -> Module:
    twin = copy.deepcopy(module)
    for mine, theirs in zip(twin.parameters(), module.parameters(), strict=True):
        mine.data = theirs.data
    return twin
