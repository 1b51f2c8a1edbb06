"""The one training loop.

    for every epoch:   lr = schedule(epoch)
      for every batch: loss = learner.loss_from(features, labels)  where features are cached
                       loss = learner.loss(images, labels)         where each view is fresh; then a step of SGD or AdamW
      validation score -> metrics.jsonl -> checkpoint

Cut off anywhere and gone on with, it gives the same numbers bit by bit on a CPU: the order of the batches depends on
the seed and the epoch, and a checkpoint holds the prompts, the optimiser's state, the loss scale and the place within
the epoch. What comes close, but not to the last bit: a GPU, some of whose sums have no fixed order, and several
processes beside one (they add up a batch in another order; several processes beside as many are bit by bit the same on
a CPU).
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clipprompt.config import TrainConfig
from clipprompt.errors import NotFiniteError, UserError
from clipprompt.learners import Learner
from clipprompt.progress import progress
from clipprompt.stopping import InterruptedRunError, StopRequest
from clipprompt.training._device import repeatable
from clipprompt.training._keeper import Keeper, is_due
from clipprompt.training._scaling import LossScaler
from clipprompt.training._team import Team
from clipprompt.training.data import Share, TrainingData
from clipprompt.training.metrics_log import MetricsLog, open_metrics
from clipprompt.training.schedule import learning_rate
from clipprompt.training.validation import selection_score, validate


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
    team: Team | None = None,
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
        team: the processes that share the run, all of which make this call; None: this one alone.

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
        raise UserError(f"train.select={config.select} needs samples held out for validation; there are none")
    if config.devices > 1 and (team is None or team.size != config.devices):
        raise UserError(f"train.devices={config.devices} needs as many processes: use `clipprompt train` or torchrun")
    session = Session(learner, data, config, folder, validation, run, stop, team)
    with repeatable(learner.backbone.device):
        return session.run()


class Session:
    """The state of one call of ``train``, whose arguments it takes."""

    def __init__(
        self,
        learner: Learner,
        data: TrainingData,
        config: TrainConfig,
        folder: Path | None = None,
        validation: TrainingData | None = None,
        run: str = "",
        stop: StopRequest | None = None,
        team: Team | None = None,
    ) -> None:
        self.learner, self.data, self.config, self.validation = learner, data, config, validation
        self.stop, self.team = stop or StopRequest(), team or Team.join(learner.backbone.device)
        self.share = Share(self.team.rank, self.team.size)
        self.parameters = list(learner.parameters())
        self.optimizer = _optimizer(self.parameters, config)
        self.scaler = LossScaler(learner.backbone.precision, learner.backbone.device)
        if config.compile:
            learner.backbone.compile()
        self.folder = folder if self.team.is_first else None  # the others write nothing
        self.keeper = Keeper(folder, learner, self.optimizer, self.scaler, writes=self.team.is_first)
        self.position = self.keeper.resume(run)

    def run(self) -> TrainResult:
        """Steps through what is left of the run."""
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
            self.keeper.restore_best()
        epoch = self.config.epochs if self.config.select == "last" else self.position.best_epoch
        return TrainResult(self.position.step, epoch, losses, time.monotonic() - started)

    def run_epoch(self, epoch: int, log: MetricsLog | None) -> Iterator[float]:
        """Steps through the rest of an epoch, yielding each loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(epoch, self.config)
        saved = clock = time.monotonic()
        start = self.position.batch
        for inputs, labels in self.data.batches(epoch, self.config.seed, self.config.batch_size, start, self.share):
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
            if is_due(self.config, self.position, now - saved):
                self.keeper.save(self.position)
                saved = now
            if self.team.any(self.stop.signum is not None):
                self.keeper.save(self.position)
                place = f"epoch {epoch + 1}, batch {self.position.batch}"
                raise InterruptedRunError(self.stop.signum or signal.SIGTERM, f"stopped at {place}")
            yield loss

    def step(self, inputs: Any, labels: Tensor) -> float:
        """One optimiser step on this process's share of a batch; returns the whole batch's loss before it."""
        self.optimizer.zero_grad(set_to_none=True)
        value = 0.0
        if len(labels):
            loss = (self.learner.loss_from if self.data.is_encoded else self.learner.loss)(inputs, labels)
            self.scaler.backward(loss)
            value = float(loss.item())
        value = self.team.combine(self.parameters, value, len(labels), self.learner.loss_is_a_sum)
        if not math.isfinite(value):
            raise self.diverged(f"the loss is {value}")
        if not self.scaler.step(self.optimizer):
            raise self.diverged("gradients are not finite, whatever the loss is scaled by,")
        if not all(bool(parameter.isfinite().all()) for parameter in self.parameters):
            raise self.diverged("a prompt is not finite after the step")
        return value

    def end_epoch(self, epoch: int, n_batches: int, log: MetricsLog | None) -> float:
        """Scores, logs and saves a finished epoch; returns its mean loss."""
        position, values = self.position, dict[str, float]()
        self.learner.end_epoch(epoch, self.config.epochs)
        if self.validation is not None and self.config.select != "last":
            values = validate(self.learner, self.validation, self.config.batch_size)
            score = selection_score(self.config.select, values)
            if position.best_epoch == 0 or score > position.best_score:
                position = replace(position, best_epoch=epoch + 1, best_score=score)
                self.keeper.take_best()
        loss, rate = position.loss_sum / n_batches, learning_rate(epoch, self.config)
        if self.scaler.is_on:
            values["loss_scale"] = self.scaler.state[0]
        if log is not None:
            seconds = round(position.seconds, 3)
            log.write(step=position.step, epoch=epoch + 1, loss=loss, lr=rate, seconds=seconds, **values)
        self.position = replace(position, epoch=epoch + 1, batch=0, loss_sum=0.0, seconds=0.0)
        self.keeper.save(self.position)
        return loss

    def log_step(self, loss: float, log: MetricsLog | None) -> None:
        """Writes a step's loss, where steps are logged."""
        if log is not None and self.config.log_steps and self.position.step % self.config.log_steps == 0:
            log.write(step=self.position.step, step_loss=loss)

    def diverged(self, what: str) -> NotFiniteError:
        """The error that says where, and what is left."""
        p = self.position
        place = f"step {p.step + 1} (epoch {p.epoch + 1}, batch {p.batch + 1})"
        return NotFiniteError(
            f"{what} at {place}: lower train.lr, now {self.optimizer.param_groups[0]['lr']:g}{self.keeper}"
        )


def _optimizer(parameters: Sequence[nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    if config.optimizer == "adamw":  # Loshchilov and Hutter, arXiv 1711.05101; torch's betas and epsilon
        return torch.optim.AdamW(parameters, lr=config.lr, weight_decay=config.weight_decay)
    return torch.optim.SGD(parameters, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay)
