"""Dropout whose masks a run that was cut off, and processes that share a batch, draw alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from clipprompt.learners._base import Learner

_STEPS = "dropout_steps"


class StepDropout:
    """Leaves out a share of a learner's numbers in a training step, and nothing outside of one.

    A mask is a function of the seed and of the number of steps before, which checkpoints keep, and is one for all
    pictures of a step: which of them a process has makes no difference.
    """

    def __init__(self, learner: Learner, share: float, generator: torch.Generator) -> None:
        self._learner, self._share = learner, share
        self._seed = int(torch.randint(2**31, (), generator=generator))
        self._masks: torch.Generator | None = None

    @contextmanager
    def step(self) -> Iterator[None]:
        """One training step; within another, or without gradients, nothing more."""
        if self._masks is not None or not self._share or not torch.is_grad_enabled():
            yield
            return
        gathered = self._learner.gathered
        before = int(gathered.get(_STEPS, torch.tensor(0)))
        gathered[_STEPS] = torch.tensor(before + 1)
        self._masks = torch.Generator().manual_seed(self._seed + before)
        try:
            yield
        finally:
            self._masks = None

    def __call__(self, numbers: Tensor) -> Tensor:
        """The numbers with some at 0 and the others larger, so that their mean stays; outside of a step as they are."""
        if self._masks is None:
            return numbers
        kept = torch.rand(numbers.shape, generator=self._masks) >= self._share
        return numbers * kept.to(numbers.device) / (1 - self._share)
