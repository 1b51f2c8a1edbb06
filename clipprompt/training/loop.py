"""The one training loop.

    for every epoch:   lr = schedule(epoch)
      for every batch: loss = learner.loss_from(features, labels)  where features are cached
                       loss = learner.loss(images, labels)         where each view is fresh; then an SGD step
      validation score -> metrics.jsonl -> checkpoint

Cut off anywhere and gone on with, it gives the same numbers bit by bit: the order of the batches depends on the seed
and the epoch, and a checkpoint holds the prompts, the momentum and the place within the epoch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clipprompt.config import TrainConfig
from clipprompt.errors import UserError
from clipprompt.learners import Learner
from clipprompt.progress import progress
from clipprompt.stopping import StopRequest
from clipprompt.training._device import create_fabric, repeatable
from clipprompt.training.checkpoint import (
    Position,
    load_checkpoint,
    restore_checkpoint,
    save_checkpoint,
    take_checkpoint,
)
from clipprompt.training.data import TrainingData
from clipprompt.training.metrics_log import MetricsLog, open_metrics
from clipprompt.training.schedule import learning_rate
from clipprompt.training.validation import validate


@dataclass(frozen=True)
class TrainResult:
    """What a training run did.

    Attributes:
        steps: optimiser steps in all, those before a cut included.
        epoch: whose prompts the learner has now, from 1; 0 = as they started.
        losses: mean loss of each epoch that was finished in this process.
        seconds: time spent in this process.
    """

    steps: int
    epoch: int
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0


def train(
    learner: Learner,
    data: TrainingData,
    config: TrainConfig,
    *,
    folder: Path | None = None,
    validation: TrainingData | None = None,
    run: str = "",
    stop: StopRequest | None = None,
) -> TrainResult:
    """Trains a learner's prompts in place.

    Args:
        learner: its parameters are changed; everything else is frozen.
        data: labelled samples: cached features of captions or images, or images.
        config: the optimisation.
        folder: for ``metrics.jsonl``, events and ``checkpoints/``; a checkpoint there is gone on from. None: no files.
        validation: held-out data, needed when ``config.select`` is not ``last``.
        run: hash of the run's configuration; a checkpoint of another run is refused.
        stop: asked after every step whether to save and end.

    Returns:
        What was done. The learner holds the prompts of the selected epoch.

    Raises:
        UserError: if there is nothing to train, the loss is not finite, or the disk is full. The last checkpoint stays.
        InterruptedRunError: if ``stop`` asks for it; the run can be gone on with.
    """
    if config.epochs == 0:
        return TrainResult(0, 0)
    if not any(True for _ in learner.parameters()):
        raise UserError(f"{learner.name} has no parameters to train; train.epochs=0 only writes its folder")
    if len(data) == 0:
        raise UserError("there is nothing to train on")
    if config.select != "last" and not validation:
        raise UserError(f"train.select={config.select} needs captions held out for validation; there are none")
    session = _Session(learner, data, config, folder, validation, run, stop or StopRequest())
    with repeatable(learner.backbone.device):
        return session.run()


class _Session:
    """The state of one call of ``train``."""

    def __init__(
        self,
        learner: Learner,
        data: TrainingData,
        config: TrainConfig,
        folder: Path | None,
        validation: TrainingData | None,
        run: str,
        stop: StopRequest,
    ) -> None:
        self.learner, self.data, self.config, self.folder = learner, data, config, folder
        self.validation, self.stop = validation, stop
        self.fabric = create_fabric(learner.backbone.device)
        self.sgd = torch.optim.SGD(
            learner.parameters(), lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay
        )
        self.model = self.fabric.setup_module(learner)
        for method in ("loss", "loss_from"):
            self.model.mark_forward_method(method)
        self.optimizer: Any = self.fabric.setup_optimizers(self.sgd)
        self.position, self.best = Position(run=run), dict[str, Tensor]()
        self.path = folder / "checkpoints" / "last.safetensors" if folder is not None else None
        if self.path is not None and self.path.exists():
            self.resume(self.path)

    def resume(self, path: Path) -> None:
        checkpoint = load_checkpoint(path)
        if checkpoint.position.run != self.position.run:
            raise UserError(f"{path} belongs to a run with another configuration; remove it to start again")
        restore_checkpoint(checkpoint, self.learner, self.sgd)
        self.position, self.best = checkpoint.position, checkpoint.best

    def run(self) -> TrainResult:
        started, losses = time.monotonic(), list[float]()
        n_batches = self.data.n_batches(self.config.batch_size)
        with open_metrics(self.folder, self.position.step, self.position.epoch) as log, progress(unit="steps") as bar:
            task = bar.add_task("Training", total=self.config.epochs * n_batches, completed=self.position.step, note="")
            for epoch in range(self.position.epoch, self.config.epochs):
                for loss in self.run_epoch(epoch, log):
                    bar.update(task, advance=1, note=f"epoch {epoch + 1}/{self.config.epochs}  loss {loss:.4g}")
                losses.append(self.end_epoch(epoch, n_batches, log))
        if self.config.select == "last":
            self.learner.end_training()
        else:
            self.restore_best()
        epoch = self.config.epochs if self.config.select == "last" else self.position.best_epoch
        return TrainResult(self.position.step, epoch, losses, time.monotonic() - started)

    def run_epoch(self, epoch: int, log: MetricsLog | None) -> Iterator[float]:
        """Steps through the rest of an epoch, yielding each loss."""
        for group in self.sgd.param_groups:
            group["lr"] = learning_rate(epoch, self.config)
        saved = clock = time.monotonic()
        start = self.position.batch
        for inputs, labels in self.data.batches(epoch, self.config.seed, self.config.batch_size, start):
            loss = self.step(inputs, labels)
            now = time.monotonic()
            self.position = replace(
                self.position,
                batch=self.position.batch + 1,
                step=self.position.step + 1,
                loss_sum=self.position.loss_sum + loss,
                seconds=self.position.seconds + now - clock,
            )
            clock = now
            self.log_step(loss, log)
            if self.is_due(now - saved):
                self.save()
                saved = now
            if self.stop.signum is not None:
                self.save()
                self.stop.raise_if_asked(f"stopped at epoch {epoch + 1}, batch {self.position.batch}")
            yield loss

    def step(self, inputs: Any, labels: Tensor) -> float:
        """One optimiser step; returns the loss before it."""
        loss = (self.model.loss_from if self.data.is_encoded else self.model.loss)(inputs, labels)
        value = float(loss.item())
        if not math.isfinite(value):
            raise self.diverged(f"the loss is {value}")
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        self.optimizer.step()
        if not all(bool(parameter.isfinite().all()) for parameter in self.learner.parameters()):
            raise self.diverged("a prompt is not finite after the step")
        return value

    def end_epoch(self, epoch: int, n_batches: int, log: MetricsLog | None) -> float:
        """Scores, logs and saves a finished epoch; returns its mean loss."""
        position, values = self.position, dict[str, float]()
        self.learner.end_epoch(epoch, self.config.epochs)
        if self.validation is not None and self.config.select != "last":
            values = validate(self.learner, self.validation, self.config.batch_size)
            score = -values["val_loss"] if self.config.select == "val_loss" else values["val_map"]
            if position.best_epoch == 0 or score > position.best_score:
                position = replace(position, best_epoch=epoch + 1, best_score=score)
                self.best = {name: p.detach().clone() for name, p in self.learner.named_parameters()}
        loss, rate = position.loss_sum / n_batches, learning_rate(epoch, self.config)
        if log is not None:
            seconds = round(position.seconds, 3)
            log.write(step=position.step, epoch=epoch + 1, loss=loss, lr=rate, seconds=seconds, **values)
        self.position = replace(position, epoch=epoch + 1, batch=0, loss_sum=0.0, seconds=0.0)
        self.save()
        return loss

    def log_step(self, loss: float, log: MetricsLog | None) -> None:
        if log is not None and self.config.log_steps and self.position.step % self.config.log_steps == 0:
            log.write(step=self.position.step, step_loss=loss)

    def is_due(self, seconds: float) -> bool:
        """Whether a checkpoint inside the epoch is wanted now."""
        by_steps = self.config.checkpoint_steps and self.position.batch % self.config.checkpoint_steps == 0
        return bool(by_steps or (self.config.checkpoint_seconds and seconds >= self.config.checkpoint_seconds))

    def save(self) -> None:
        if self.path is not None:
            save_checkpoint(self.path, take_checkpoint(self.position, self.learner, self.sgd, self.best))

    def restore_best(self) -> None:
        with torch.no_grad():
            for name, parameter in self.learner.named_parameters():
                parameter.copy_(self.best[name])

    def diverged(self, what: str) -> UserError:
        p = self.position
        kept = f"; the last good checkpoint is {self.path}" if self.path is not None and self.path.exists() else ""
        place = f"step {p.step + 1} (epoch {p.epoch + 1}, batch {p.batch + 1})"
        return UserError(f"{what} at {place}: lower train.lr, now {self.sgd.param_groups[0]['lr']:g}{kept}")
