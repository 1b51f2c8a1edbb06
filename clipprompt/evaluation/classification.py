"""Accuracy of one learner on the tests of a job, each as a record with everything that made the number.

    test ──> its classes of a part ──> set_classes ──> scores ──> accuracy ──> ClassificationRecord
                       │                                 ▲
                       └── whole part ──> features ──────┘

Features of a whole part are shared by all learners of a backbone. One whose image side is learnt makes its own passes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from clipprompt.config import RunConfig
from clipprompt.datasets import MultiLabelImages
from clipprompt.datasets.classification.draw import Drawn, draw
from clipprompt.datasets.classification.load import settle_pictures
from clipprompt.datasets.classification.sets import hash_samples
from clipprompt.evaluation._job_facts import Learnt, describe_learnt, describe_options, peak_memory
from clipprompt.evaluation._test_sets import load_set
from clipprompt.evaluation.accuracy import Labels, accuracy, per_class_accuracy, predictions
from clipprompt.evaluation.classification_records import ClassificationRecord
from clipprompt.evaluation.protocols import Job, Test
from clipprompt.evaluation.provenance import library_versions
from clipprompt.evaluation.records import write_records
from clipprompt.evaluation.scoring import FloatMatrix, Scored, score_images
from clipprompt.features.image_cache import ImageCache
from clipprompt.features.images import what_learners_read
from clipprompt.features.shared import shared_features
from clipprompt.learners import Learner, with_classes
from clipprompt.mini.version import drawing_version


@dataclass(frozen=True)
class Evaluation:
    """How learners are tested; results do not depend on it, save in the last bits.

    Attributes:
        root: folder of named sets.
        cache: folder of features of image files, for all processes; None keeps them in memory.
        predictions: file for one line a test picture; None for none.
        batch_size: images that are encoded together.
        workers: threads that decode.
        places: the ways of reading places that other learners of the backbone need, so that one pass serves them too;
            with a cache alone, since memory is short.
        say: takes messages for people.
    """

    root: Path | None = None
    cache: Path | None = None
    predictions: Path | None = None
    batch_size: int = 64
    workers: int = 4
    places: tuple[bool, ...] = ()
    say: Callable[[str], None] = lambda _: None


class _Tested(NamedTuple):
    """One test: the drawn classes, the pictures that were read, their scores and predictions."""

    drawn: Drawn
    part: str
    images: MultiLabelImages
    scores: FloatMatrix
    predicted: Labels
    labels: Labels
    n_skipped: int
    cached: bool
    seconds: float


def evaluate_tests(
    learner: Learner, job: Job, config: RunConfig, how: Evaluation = Evaluation(), train_seconds: float | None = None
) -> Iterator[ClassificationRecord]:
    """Yields one record for each test of a job.

    Where the learner's image side is frozen, the pictures of a whole part are encoded once and shared with every other
    learner of the backbone, whatever its classes; otherwise the tests pass the tower each.

    Args:
        learner: with the prompt as it was learnt; its class names do not matter.
        job: whose tests they are.
        config: of its run.
        how: where data are, and where features and predictions go. Predictions are written after the last test.
        train_seconds: that learning took.

    Raises:
        UserError: if a set or a part is missing, none of its pictures can be read, or a score is not finite.
    """
    learnt = describe_learnt(job, config, how.root, train_seconds)
    lines = list[dict[str, Any]]()
    for test in job.tests:
        tested = _test(learner, job, test, how)
        if how.predictions is not None:
            lines += _lines(tested)
        yield _record(learner, job, config, test, tested, learnt)
    if how.predictions is not None:
        write_records(how.predictions, lines)


def _test(learner: Learner, job: Job, test: Test, how: Evaluation) -> _Tested:
    start = time.perf_counter()
    drawn = draw(load_set(test.dataset, how.root, (test.part,)), None, 0, test.subset, job.class_split)
    images = settle_pictures(drawn.images(test.part), drawn.dataset, test.part, how.root, skip_missing=False)
    ready = with_classes(learner, drawn.classnames)
    scored, cached = _score(ready, drawn, images, test.part, how)
    for name, reason in scored.skipped:
        how.say(f"{reason}; {name} of {images.name} is left out")
    scores = scored.by_key[learner.name][learner.branch]
    predicted = predictions(scores, ready.first_of_same_prompt)
    labels = scored.dataset.targets.argmax(axis=1).astype(np.int64)
    seconds = time.perf_counter() - start
    return _Tested(
        drawn, test.part, scored.dataset, scores, predicted, labels, len(scored.skipped), cached, round(seconds, 3)
    )


def _score(
    learner: Learner, drawn: Drawn, images: MultiLabelImages, part: str, how: Evaluation
) -> tuple[Scored[str], bool]:
    """Scores, and whether their features went through the cache on disk."""
    kept = None
    if learner.image_side_is_frozen:
        kept = shared_features(
            learner.backbone,
            [drawn.dataset.item(sample) for sample in drawn.dataset.part(part)],
            images.open_item,
            tuple(sorted({*what_learners_read([learner], own_branch=True).places, *(how.places if how.cache else ())})),
            cache=how.cache,
            drawn_by="" if drawn.dataset.folder else f"{drawing_version()} of {', '.join(drawn.dataset.classnames)}",
            batch_size=how.batch_size,
            workers=how.workers,
        )
    scored = score_images(
        {learner.name: learner}, images, batch_size=how.batch_size, workers=how.workers, kept=kept, own_branch=True
    )
    return scored, isinstance(kept, ImageCache) and kept.is_rounded


def _record(
    learner: Learner, job: Job, config: RunConfig, test: Test, tested: _Tested, learnt: Learnt
) -> ClassificationRecord:
    dataset, images, backbone = tested.drawn.dataset, tested.images, learner.backbone
    seen = set(images.ids)  # without what could not be read
    return ClassificationRecord(
        protocol=job.protocol,
        method=job.method,
        options=describe_options(learner, job, config),
        shots=job.shots,
        subset=job.subset,
        class_split=job.class_split,
        seed=job.seed,
        dataset=dataset.name,
        part=test.part,
        tested_subset=test.subset,
        split_source=dataset.source,
        split_sha256=dataset.source_sha256,
        split_hash=hash_samples([sample for sample in tested.drawn.part(test.part) if sample.path in seen]),
        class_hash=images.class_hash(),
        classnames=list(images.classnames),
        n_images=len(images),
        n_skipped=tested.n_skipped,
        accuracy=accuracy(tested.predicted, tested.labels),
        per_class_accuracy=per_class_accuracy(tested.predicted, tested.labels, len(images.classnames)),
        setting="inductive",
        backbone=backbone.name,
        pretrained=backbone.pretrained,
        fingerprint=backbone.fingerprint(),
        precision=backbone.precision,
        device=str(backbone.device),
        transform=repr(backbone.preprocess),
        cached=tested.cached,
        versions=library_versions(),
        test_seconds=tested.seconds,
        peak_memory_bytes=peak_memory(backbone.device),
        **learnt,
    )


def _lines(tested: _Tested) -> Iterator[dict[str, Any]]:
    """One line a picture: enough to find it, and to open it again."""
    dataset, images = tested.drawn.dataset, tested.images
    logits = torch.from_numpy(tested.scores).double()
    chances = logits.softmax(dim=1).max(dim=1).values.tolist()
    folder = None if dataset.folder is None else str(dataset.folder.absolute())
    for path, label, predicted, chance in zip(images.ids, tested.labels, tested.predicted, chances, strict=True):
        yield {
            "dataset": dataset.name,
            "part": tested.part,
            "tested_subset": tested.drawn.subset,
            "folder": folder,
            "path": path,
            "classname": images.classnames[label],
            "predicted": images.classnames[predicted],
            "probability": chance,
        }
