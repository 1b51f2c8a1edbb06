"""What the records of a job say besides its numbers: how the prompt was learnt, and what it took."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, TypedDict

import torch

from clipprompt.config import RunConfig, flat_config
from clipprompt.datasets.classification.draw import Drawn, draw
from clipprompt.evaluation._test_sets import load_set
from clipprompt.evaluation.protocols import Job
from clipprompt.evaluation.provenance import Training, describe_training
from clipprompt.learners import Learner

# Settings that say where things lie and how work is shared stay out; the seed is a key of the record.
_OPTIONS, _LEFT_OUT = ("learner.", "train.", "data.augment"), ("train.seed", "train.devices")


class Learnt(TypedDict):
    """See :class:`ClassificationRecord`."""

    trained_on: str | None
    draw_hash: str | None
    selection: str
    training: Training | None
    train_seconds: float | None


def describe_learnt(job: Job, config: RunConfig, root: Path | None, seconds: float | None) -> Learnt:
    """How a job's prompt was learnt.

    Args:
        job: that it belongs to.
        config: of its run.
        root: folder of named sets.
        seconds: that learning took.

    Raises:
        UserError: if what was learnt from cannot be read.
    """
    if job.seed is None:
        return Learnt(trained_on=None, draw_hash=None, selection="none", training=None, train_seconds=None)
    parts = ("train",) if config.train.select == "last" else ("train", "val")
    drawn = draw(load_set(job.dataset, root, parts), job.shots, job.seed, job.subset, job.class_split)
    return Learnt(
        trained_on=drawn.dataset.name,
        draw_hash=drawn.hash,
        selection=_describe_selection(config, drawn),
        training=describe_training(config),
        train_seconds=seconds,
    )


def _describe_selection(config: RunConfig, drawn: Drawn) -> str:
    """The rule by which an epoch was kept."""
    select, validation = config.train.select, config.data.validation
    if select == "last":
        return select
    if validation is not None:
        return f"{select} on {validation}"
    if drawn.val:
        return f"{select} on {drawn.dataset.name}:val"
    return f"{select} on {config.train.val_fraction:.0%} held out of the training pictures"


def describe_options(learner: Learner, job: Job, config: RunConfig) -> dict[str, Any]:
    """Every option of the learner, and where it learns every setting of its training."""
    own = {f"learner.{key}": value for key, value in learner.options.model_dump(mode="json").items()}
    if not job.learns:
        return own
    settings = {key: value for key, value in flat_config(config).items() if key.startswith(_OPTIONS)}
    return {key: value for key, value in (settings | own).items() if key not in _LEFT_OUT}


def peak_memory(device: torch.device) -> int:
    """The most bytes that this process had so far: on the GPU where it uses one; 0 where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # not on Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
