"""What the records of a job say besides its numbers: how the prompt was learnt, and what it took."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import torch

from clipprompt.config import RunConfig, flat_config
from clipprompt.datasets import MultiLabelImages
from clipprompt.datasets.classification.draw import Drawn, draw
from clipprompt.evaluation.job_tests.records import ProtocolRecord
from clipprompt.evaluation.protocols.jobs import Job, Test
from clipprompt.evaluation.protocols.one_class_sets import is_drawn, load_set
from clipprompt.evaluation.provenance import Training, describe_training, library_versions
from clipprompt.learners import Learner
from clipprompt.training.run_folder import is_as_before

# Settings that say where things lie and how work is shared stay out; the seed is a key of the record.
_OPTIONS, _LEFT_OUT = ("learner.", "train.", "data.augment"), ("train.seed", "train.devices")
# What else decides which pictures, labels and captions are seen. No hash tells it: another seed has another one anyhow.
_OF_PICTURES = ("data.keep_empty", "data.labels", "data.skip_missing")
_OF_CAPTIONS = ("data.keep_empty", "data.templates")


class Learnt(TypedDict):
    """See :class:`ProtocolRecord`."""

    trained_on: str | None
    draw_hash: str | None
    selection: str
    training: Training | None
    train_seconds: float | None


NOTHING = Learnt(trained_on=None, draw_hash=None, selection="none", training=None, train_seconds=None)
"""Of what has no parameters."""


class TestedPart(NamedTuple):
    """What was tested.

    Attributes:
        dataset: name of its set.
        images: that could be read, with the tested classes.
        split_hash: of them.
        n_skipped: that could not be read.
        cached: see :class:`ProtocolRecord`.
        seconds: that the test took.
    """

    dataset: str
    images: MultiLabelImages
    split_hash: str
    n_skipped: int
    cached: bool
    seconds: float


def describe_learnt(job: Job, config: RunConfig, root: Path | None, seconds: float | None) -> Learnt:
    """How a job's prompt was learnt, from pictures with one class each.

    Args:
        job: that it belongs to.
        config: of its run.
        root: folder of named sets.
        seconds: that learning took.

    Raises:
        UserError: if what was learnt from cannot be read.
    """
    if job.seed is None:
        return NOTHING
    drawn = drawn_for(job, config, root)
    return Learnt(
        trained_on=drawn.dataset.name,
        draw_hash=drawn.hash,
        selection=describe_selection(config, f"{drawn.dataset.name}:val" if drawn.val else None),
        training=describe_training(config),
        train_seconds=seconds,
    )


def drawn_for(job: Job, config: RunConfig, root: Path | None) -> Drawn:
    """What a job has learnt from, and what it has selected an epoch by.

    Raises:
        UserError: if it cannot be read.
    """
    assert job.seed is not None  # it learns
    share, with_val = config.data.share, config.data.with_val
    parts = ("train",) if config.train.select == "last" and not with_val else ("train", "val")
    found = load_set(job.dataset, root, parts)
    return draw(found, job.shots, job.seed, job.subset, job.class_split, share=share, with_val=with_val)


def describe_selection(config: RunConfig, drawn: str | None, of: str = "training pictures") -> str:
    """The rule by which an epoch was kept.

    Args:
        config: of the run.
        drawn: what was drawn to select by; None where a part of the data was held out.
        of: what the data are.
    """
    select, validation = config.train.select, config.data.validation
    if select == "last":
        return select
    where = validation or drawn or f"{config.train.val_fraction:.0%} held out of the {of}"
    return f"{select} on {where}"


def describe_test(
    learner: Learner, job: Job, config: RunConfig, test: Test, part: TestedPart, learnt: Learnt
) -> ProtocolRecord:
    """Everything that made the numbers of a test.

    Args:
        learner: that was tested.
        job: whose test it is.
        config: of its run.
        test: one of the job's.
        part: what was tested.
        learnt: how the prompt was learnt.
    """
    backbone = learner.backbone
    return ProtocolRecord(
        protocol=job.protocol,
        method=job.method,
        options=describe_options(learner, job, config),
        shots=job.shots,
        subset=job.subset,
        class_split=job.class_split,
        seed=job.seed,
        dataset=part.dataset,
        part=test.part,
        tested_subset=test.subset,
        split_hash=part.split_hash,
        class_hash=part.images.class_hash(),
        classnames=list(part.images.classnames),
        n_images=len(part.images),
        n_skipped=part.n_skipped,
        setting="inductive",
        backbone=backbone.name,
        pretrained=backbone.pretrained,
        fingerprint=backbone.fingerprint(),
        precision=backbone.precision,
        device=str(backbone.device),
        transform=repr(backbone.preprocess),
        cached=part.cached,
        versions=library_versions(),
        test_seconds=round(part.seconds, 3),
        peak_memory_bytes=peak_memory(backbone.device),
        **learnt,
    )


def describe_options(learner: Learner, job: Job, config: RunConfig) -> dict[str, Any]:
    """Every option of the learner, and where it learns every setting of its training."""
    own = {f"learner.{key}": value for key, value in learner.options.model_dump(mode="json").items()}
    if not job.learns:
        return own
    kept = (*_OPTIONS, *_options_of_data(job, config))
    flat = flat_config(config)
    settings = {key: value for key, value in flat.items() if key.startswith(kept) and not is_as_before(key, value)}
    return {key: value for key, value in (settings | own).items() if key not in _LEFT_OUT}


def _options_of_data(job: Job, config: RunConfig) -> Iterator[str]:
    """Settings of what is learnt from, where pictures have several classes."""
    if job.multilabel and job.learns_from_pictures:
        yield from (*_OF_PICTURES, *(["data.n_images"] if is_drawn(job.dataset) else []))
    if job.multilabel and job.learns_from != "images":
        yield from (*_OF_CAPTIONS, *(["data.n_captions"] if is_drawn(str(config.data.corpus)) else []))


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
