"""Accuracy of one learner on the tests of a job, each as a record with everything that made the number.

    test ──> its classes of a part ──> set_classes ──> scores ──> accuracy ──> ClassificationRecord
                       │                                 ▲
                       └── whole part ──> features ──────┘

Features of a whole part are shared by all learners of a backbone. One whose image side is learnt makes its own passes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from clipprompt.config import RunConfig
from clipprompt.datasets.classification.draw import Drawn, draw
from clipprompt.datasets.classification.load import settle_pictures
from clipprompt.datasets.classification.sets import hash_samples
from clipprompt.evaluation.accuracy import Labels, accuracy, per_class_accuracy, predictions
from clipprompt.evaluation.job_tests._facts import TestedPart, describe_learnt, describe_test
from clipprompt.evaluation.job_tests.one_class_records import ClassificationRecord
from clipprompt.evaluation.job_tests.one_pass import IN_MEMORY, Evaluation, score_part
from clipprompt.evaluation.job_tests.records import ProtocolRecord
from clipprompt.evaluation.protocols.jobs import Job, Test
from clipprompt.evaluation.protocols.one_class_sets import load_set
from clipprompt.evaluation.records import write_records
from clipprompt.evaluation.scoring import FloatMatrix
from clipprompt.learners import Learner, with_classes
from clipprompt.mini.version import drawing_version

__all__ = ["Evaluation", "evaluate_tests"]


class _Tested(NamedTuple):
    """One test: the drawn classes, the pictures that were read, their scores and predictions."""

    drawn: Drawn
    part: TestedPart
    scores: FloatMatrix
    predicted: Labels
    labels: Labels


def evaluate_tests(
    learner: Learner, job: Job, config: RunConfig, how: Evaluation = IN_MEMORY, train_seconds: float | None = None
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
            lines += _lines(tested, test.part)
        yield _record(describe_test(learner, job, config, test, tested.part, learnt), tested)
    if how.predictions is not None:
        write_records(how.predictions, lines)


def _test(learner: Learner, job: Job, test: Test, how: Evaluation) -> _Tested:
    start = time.perf_counter()
    drawn = draw(load_set(test.dataset, how.root, (test.part,)), None, 0, test.subset, job.class_split)
    images = settle_pictures(drawn.images(test.part), drawn.dataset, test.part, how.root, skip_missing=False)
    ready = with_classes(learner, drawn.classnames)
    whole = [drawn.dataset.item(sample) for sample in drawn.dataset.part(test.part)]
    drawn_by = "" if drawn.dataset.folder else f"{drawing_version()} of {', '.join(drawn.dataset.classnames)}"
    scored, cached = score_part({learner.name: ready}, images, whole, how, drawn_by)
    scores = scored.by_key[learner.name][learner.branch]
    predicted = predictions(scores, ready.first_of_same_prompt)
    labels = scored.dataset.targets.argmax(axis=1).astype(np.int64)
    seen = set(scored.dataset.ids)  # without what could not be read
    split_hash = hash_samples([sample for sample in drawn.part(test.part) if sample.path in seen])
    seconds, n_skipped = time.perf_counter() - start, len(scored.skipped)
    part = TestedPart(drawn.dataset.name, scored.dataset, split_hash, n_skipped, cached, seconds)
    return _Tested(drawn, part, scores, predicted, labels)


def _record(facts: ProtocolRecord, tested: _Tested) -> ClassificationRecord:
    dataset, n_classes = tested.drawn.dataset, len(tested.drawn.classnames)
    return ClassificationRecord(
        **facts,
        split_source=dataset.source,
        split_sha256=dataset.source_sha256,
        accuracy=accuracy(tested.predicted, tested.labels),
        per_class_accuracy=per_class_accuracy(tested.predicted, tested.labels, n_classes),
    )


def _lines(tested: _Tested, part: str) -> Iterator[dict[str, Any]]:
    """One line a picture: enough to find it, and to open it again."""
    dataset, images = tested.drawn.dataset, tested.part.images
    logits = torch.from_numpy(tested.scores).double()
    chances = logits.softmax(dim=1).max(dim=1).values.tolist()
    folder = None if dataset.folder is None else str(dataset.folder.absolute())
    for path, label, predicted, chance in zip(images.ids, tested.labels, tested.predicted, chances, strict=True):
        yield {
            "dataset": dataset.name,
            "part": part,
            "tested_subset": tested.drawn.subset,
            "folder": folder,
            "path": path,
            "classname": images.classnames[label],
            "predicted": images.classnames[predicted],
            "probability": chance,
        }
