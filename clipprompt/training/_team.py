"""The processes that share a run. One process alone is a team of one, for which nothing of this costs anything.

    batch --share--> B/2 | B/2 samples --loss, backward--> gradients --one sum over processes--> the batch's gradients

Every process has the whole learner and takes the same step from the same gradients, so the prompts stay equal and are
never sent. Gradients are added up here and not by DDP's wrapper: a few thousand numbers need no overlap with the
backward pass, and the sum is then right where the wrapper's mean is not. Shares of different size weigh by their
samples, a share without samples takes part, and a parameter without a gradient anywhere keeps none. What is no sum of
samples refers to each process's share: ProGrad's projection, or a mean over known labels where some are unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from clipprompt.training._device import create_fabric

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Team:
    """This process among those that share the run.

    Attributes:
        rank: its number, from 0. The first one writes files and speaks.
        size: how many there are.
    """

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self.rank, self.size = fabric.global_rank, fabric.world_size

    @classmethod
    def join(cls, device: torch.device, n_processes: int = 1) -> Team:
        """Connects this process, which computes on ``device``, with the others; there may be none."""
        return cls(create_fabric(device, n_processes))

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def combine(self, parameters: Sequence[Tensor], loss: float, n_samples: int, is_a_sum: bool = False) -> float:
        """Turns gradients of this process's share into those of the whole batch, alike in every process.

        Args:
            parameters: whose ``grad`` is replaced; None counts as zero, and stays where it is None in every process.
            loss: of the share.
            n_samples: of the share.
            is_a_sum: whether the loss is a sum over samples, and not their mean.

        Returns:
            The loss of the whole batch.
        """
        if self.size == 1:
            return loss
        weight = 1.0 if is_a_sum else float(n_samples)
        parts = [torch.zeros_like(p) if p.grad is None else weight * p.grad for p in parameters]
        numbers = [*(float(p.grad is not None) for p in parameters), weight * loss, weight]
        sums = self._sum(torch.cat([*(part.flatten() for part in parts), torch.tensor(numbers).to(parts[0])]))
        *n_present, total, divisor = sums[-len(numbers) :].tolist()
        divisor = 1.0 if is_a_sum else divisor
        gradients = sums[: -len(numbers)].split([p.numel() for p in parameters])
        for parameter, gradient, n in zip(parameters, gradients, n_present, strict=True):
            if n:
                parameter.grad = gradient.view_as(parameter) / divisor
        return float(total / divisor)

    def any(self, wish: bool) -> bool:
        """Whether any process wishes it; all get the same answer."""
        return wish if self.size == 1 else bool(self._sum(torch.tensor([float(wish)], device=self._fabric.device)))

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """The first process goes through the block, however long it takes; then the others do."""
        with self._fabric.rank_zero_first():
            yield

    def _sum(self, values: Tensor) -> Tensor:
        return cast(Tensor, self._fabric.all_reduce(values, reduce_op="sum"))
