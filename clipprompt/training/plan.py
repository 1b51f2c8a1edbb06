"""What a run will take, before it is started: a few of its steps, on a part of its data, with prompts to throw away.

    part of the data --prepare, timed--> real batches --real steps, timed--> times the rest = the whole run

Nothing is written but into a temporary folder, which is removed.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from torch import Tensor

from clipprompt.config import RunConfig
from clipprompt.errors import UserError
from clipprompt.learners import Learner
from clipprompt.printable import counted
from clipprompt.training._device import repeatable
from clipprompt.training.both import CaptionsAndPictures, in_turn, without_selection
from clipprompt.training.data import FeatureData, Share, TrainingData, count_batches
from clipprompt.training.labelled_images import LabelledImages
from clipprompt.training.loop import Session
from clipprompt.training.run import build_learner, check_request, give_training_set, load_source
from clipprompt.training.run_folder import RunFolder
from clipprompt.training.seen_pictures import describe_views
from clipprompt.training.source import Prepared, Source
from clipprompt.training.validation import validate

# Samples that are prepared for the measurement: these, or some batches where a batch is large.
_SMALLEST_PART, _BATCHES = 64, 4
# Steps are measured, behind a first one that warms up, until there are enough of them or enough time has passed.
_MOST_STEPS, _FEWEST_STEPS, _SECONDS = 10, 2, 10.0


@dataclass(frozen=True)
class Plan:
    """What a run is expected to take. Times are in seconds, sizes in bytes.

    Attributes:
        title: method, backbone, device and precision.
        parameters: shapes by name.
        data: what is trained on.
        batch_size: samples of a step.
        steps_per_epoch: optimiser steps.
        epochs: passes over the data.
        preparation: time before the first step: checking and encoding, scaled up from ``n_prepared`` samples.
        n_prepared: samples that were prepared for the measurement.
        step: time of a step, the mean of ``n_measured``.
        waiting: the part of it in which the step waits for its batch: decoding, or reading the cache.
        n_measured: steps.
        validation: time of an epoch's validation; 0 where there is none.
        memory: largest amount in use: of the GPU where training is on one, or of this process.
        on_gpu: whether it is the GPU's.
        prompt_size: of the files of the prompt.
        cache_size: of the features that are computed once; 0 where none are.
        cache_on_disk: whether they are kept there while the run lasts.
        n_processes: that share each step; the measured share is one's.
    """

    title: str
    parameters: dict[str, tuple[int, ...]]
    data: str
    batch_size: int
    steps_per_epoch: int
    epochs: int
    preparation: float
    n_prepared: int
    step: float
    waiting: float
    n_measured: int
    validation: float
    memory: int
    on_gpu: bool
    prompt_size: int
    cache_size: int
    cache_on_disk: bool
    n_processes: int

    @property
    def n_parameters(self) -> int:
        """Learnt numbers in all."""
        return sum(torch.Size(shape).numel() for shape in self.parameters.values())

    @property
    def n_steps(self) -> int:
        """Optimiser steps in all."""
        return self.epochs * self.steps_per_epoch

    @property
    def training(self) -> float:
        """Time from the first step to the last, validation included."""
        return self.n_steps * self.step + self.epochs * self.validation

    @property
    def total(self) -> float:
        """Time of the run, once the backbone is loaded."""
        return self.preparation + self.training


def plan_run(config: RunConfig) -> Plan:
    """Measures what the run of a configuration will take.

    Raises:
        UserError: if it could not be run, or trains nothing.
    """
    check_request(config)
    if config.train.epochs == 0:
        raise UserError("there is nothing to plan: train.epochs=0 trains nothing")
    source = load_source(config)
    learner = build_learner(config, source.classnames)
    if not list(learner.parameters()) and not learner.reads_training_set:
        raise UserError(f"there is nothing to plan: {learner.name} has no parameters to train")
    device = learner.backbone.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    # The caches of other runs are neither read nor added to.
    private = config.model_copy(update={"data": config.data.model_copy(update={"cache": None})})
    with TemporaryDirectory(prefix="clipprompt-plan-") as folder, repeatable(device):
        return _measure(private, source, learner, Path(folder))


class _Part(NamedTuple):
    """What was prepared of a source, and what that tells of the whole: seconds, bytes, and by how much to multiply."""

    prepared: Prepared
    n_samples: int
    growth: float
    seconds: float
    cache_size: int
    cache_on_disk: bool


def _measure(config: RunConfig, source: Source, learner: Learner, folder: Path) -> Plan:
    parts, prepared = _prepare(config, source, learner, RunFolder(folder / "run"))
    give_training_set(learner, prepared.data, config.train.batch_size)
    steps, waits = _measure_steps(learner, prepared.data, config)
    learner.save(folder / "prompt")
    cache_size = sum(part.cache_size for part in parts)
    cache_on_disk = any(part.cache_on_disk for part in parts)
    memory, on_gpu = _peak_memory(learner.backbone.device)
    grown = 0 if cache_on_disk or on_gpu else sum(round(p.cache_size * (1 - 1 / p.growth)) for p in parts)
    backbone = learner.backbone
    return Plan(
        title=f"{learner.name} on {backbone.name}, {backbone.device.type}, {backbone.precision}",
        parameters={name: tuple(value.shape) for name, value in learner.named_parameters()},
        data=_describe_data(source, learner, config),
        batch_size=config.train.batch_size,
        steps_per_epoch=_steps_per_epoch(source, parts, config),
        epochs=config.train.epochs,
        preparation=sum(part.growth * part.seconds for part in parts),
        n_prepared=sum(part.n_samples for part in parts),
        step=sum(steps) / len(steps),
        waiting=sum(waits) / len(steps),
        n_measured=len(steps),
        validation=parts[-1].growth * _measure_validation(learner, prepared, config),
        memory=memory + grown,
        on_gpu=on_gpu,
        prompt_size=sum(path.stat().st_size for path in (folder / "prompt").iterdir()),
        cache_size=cache_size,
        cache_on_disk=cache_on_disk,
        n_processes=config.train.devices,
    )


def _prepare(config: RunConfig, source: Source, learner: Learner, run: RunFolder) -> tuple[list[_Part], Prepared]:
    """A part of the source, of captions and of pictures each, and what training takes; pictures are last."""
    if isinstance(source, CaptionsAndPictures):
        captions, said = _prepare(without_selection(config), source.sentences, learner, run)
        pictures, shown = _prepare(config, source.pictures, learner, run)
        return captions + pictures, in_turn(learner, said, shown)
    part = source.sample(max(_SMALLEST_PART, _BATCHES * config.train.batch_size), config.train.seed)
    started = time.monotonic()
    prepared = part.prepare(learner, config, run, lambda _: None, lambda: None)
    seconds, growth = time.monotonic() - started, len(source) / len(part)
    measured = _Part(prepared, len(part), growth, seconds, *_measure_cache(prepared, growth, config))
    return [measured], prepared


class _Timed:
    """Training data that notes how long its batches are waited for."""

    def __init__(self, data: TrainingData) -> None:
        self._data, self.waited = data, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._data, name)

    def batches(self, *arguments: Any) -> Iterator[tuple[Any, Tensor]]:
        stream = self._data.batches(*arguments)
        while True:
            started = time.monotonic()
            batch = next(stream, None)
            self.waited += time.monotonic() - started
            if batch is None:
                return
            yield batch


def _measure_steps(learner: Learner, data: TrainingData, config: RunConfig) -> tuple[list[float], list[float]]:
    """Seconds of some steps, and of the waiting in each; the first step, which warms up, is left out."""
    timed: Any = _Timed(data)
    session = Session(learner, timed, config.train)
    session.share = Share(0, config.train.devices)
    steps, waits = list[float](), list[float]()
    started = clock = time.monotonic()
    for epoch in itertools.count():
        session.position = replace(session.position, batch=0)
        for _ in session.run_epoch(epoch % config.train.epochs, None):
            now = time.monotonic()
            steps.append(now - clock)
            waits.append(timed.waited)
            clock, timed.waited = now, 0.0
            is_long = len(steps) > _FEWEST_STEPS and now - started > _SECONDS
            if is_long or len(steps) > _MOST_STEPS:
                return steps[1:], waits[1:]
    raise AssertionError


def _measure_validation(learner: Learner, prepared: Prepared, config: RunConfig) -> float:
    if prepared.validation is None:
        return 0.0
    started = time.monotonic()
    validate(learner, prepared.validation, config.train.batch_size)
    return time.monotonic() - started


def _steps_per_epoch(source: Source, parts: Sequence[_Part], config: RunConfig) -> int:
    if isinstance(source, CaptionsAndPictures):
        return source.n_batches(config)
    prepared = parts[0].prepared
    if prepared.validation is None or config.data.validation is not None:
        n_trained_on = round(parts[0].growth * len(prepared.data))  # less where pictures cannot be read
    else:
        n_trained_on = source.n_trained_on(config)  # a part's own split is rounded too coarsely
    return count_batches(n_trained_on, config.train.batch_size)


def _measure_cache(prepared: Prepared, growth: float, config: RunConfig) -> tuple[int, bool]:
    """Size of all features that are computed once, and whether they are kept on disk."""
    kept = [data for data in (prepared.data, prepared.validation) if isinstance(data, FeatureData)]
    caches = {id(data.cache): data.cache for data in kept}.values()
    size = round(growth * sum(cache.nbytes for cache in caches))
    return size, any(cache.is_on_disk for cache in caches) or size > config.data.cache_memory_gb * 1e9


def _peak_memory(device: torch.device) -> tuple[int, bool]:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device), True
    try:
        import resource
    except ImportError:  # not on Windows
        return 0, False
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, False


def _describe_data(source: Source, learner: Learner, config: RunConfig) -> str:
    classes = counted(len(learner.classnames), "class")
    if isinstance(source, CaptionsAndPictures):
        return f"{counted(len(source.sentences), 'sentence')} and {_describe_data(source.pictures, learner, config)}"
    if isinstance(source, LabelledImages):
        return f"{counted(len(source), 'picture')} of {classes}, {describe_views(learner, config)}"
    return f"{counted(len(source), 'sentence')} about {classes}, encoded once"
