"""Keeps a session's state: when it is saved, where, and how it comes back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from clipprompt.config import TrainConfig
from clipprompt.errors import UserError
from clipprompt.learners import Learner
from clipprompt.training._scaling import LossScaler
from clipprompt.training.checkpoint import (
    Position,
    load_checkpoint,
    restore_checkpoint,
    save_checkpoint,
    take_checkpoint,
)


class Keeper:
    """What a run saves of a learner, its optimiser and its loss scale."""

    def __init__(
        self, folder: Path | None, learner: Learner, optimizer: torch.optim.Optimizer, scaler: LossScaler, writes: bool
    ) -> None:
        """Finds the place of the checkpoint; None: nothing is kept.

        Args:
            folder: the run folder.
            learner: whose prompts are kept.
            optimizer: whose state is kept.
            scaler: whose scale is kept.
            writes: whether this process saves; otherwise it only reads.
        """
        self._path = folder / "checkpoints" / "last.safetensors" if folder is not None else None
        self._learner, self._optimizer, self._scaler, self._writes = learner, optimizer, scaler, writes
        self._best: dict[str, Tensor] = {}

    def resume(self, run: str) -> Position:
        """Goes on from the checkpoint; without one, a run is at its beginning.

        Raises:
            UserError: if the checkpoint is of another run, or damaged.
        """
        if self._path is None or not self._path.exists():
            return Position(run=run)
        checkpoint = load_checkpoint(self._path)
        if checkpoint.position.run != run:
            raise UserError(f"{self._path} belongs to a run with another configuration; remove it to start again")
        restore_checkpoint(checkpoint, self._learner, self._optimizer)
        self._scaler.restore(checkpoint.position.loss_scale, checkpoint.position.good_steps)
        self._best = checkpoint.best
        return checkpoint.position

    def save(self, position: Position) -> None:
        """Saves where the run stands.

        Raises:
            UserError: if it cannot be written.
        """
        if self._path is not None and self._writes:
            scale, good_steps = self._scaler.state
            position = replace(position, loss_scale=scale, good_steps=good_steps)
            save_checkpoint(self._path, take_checkpoint(position, self._learner, self._optimizer, self._best))

    def take_best(self) -> None:
        """Remembers the prompts as they are now, as the best so far."""
        self._best = {name: p.detach().clone() for name, p in self._learner.named_parameters()}

    def restore_best(self) -> None:
        """Gives the learner the best prompts."""
        with torch.no_grad():
            for name, parameter in self._learner.named_parameters():
                parameter.copy_(self._best[name])

    def __str__(self) -> str:
        """What an error says of the last checkpoint."""
        is_there = self._path is not None and self._path.exists()
        return f"; the last good checkpoint is {self._path}" if is_there else ""


def is_due(config: TrainConfig, position: Position, seconds: float) -> bool:
    """Whether a checkpoint inside an epoch is wanted, ``seconds`` after the last."""
    by_steps = config.checkpoint_steps and position.batch % config.checkpoint_steps == 0
    return bool(by_steps or (config.checkpoint_seconds and seconds >= config.checkpoint_seconds))
