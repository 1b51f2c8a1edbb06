"""mAP and F1 of one learner on the tests of a job, each as a record with everything that made the numbers.

    test ──> its classes of a part, pictures that have one ──> set_classes ──> scores ──> measures ──> record
                       │                                          ▲
                       └── whole part ──> features ───────────────┘

Features of a whole part are shared by all learners of a backbone, and by unseen and all classes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from clipprompt.config import RunConfig
from clipprompt.datasets import MultiLabelImages, open_image
from clipprompt.datasets.images import PRESENT, UNKNOWN
from clipprompt.datasets.partial.class_groups import class_groups, with_any_of
from clipprompt.evaluation.job_tests._facts import Learnt, TestedPart, describe_test
from clipprompt.evaluation.job_tests._multilabel_facts import describe_learnt, name_corpus
from clipprompt.evaluation.job_tests.multilabel_records import MultiLabelTestRecord
from clipprompt.evaluation.job_tests.one_pass import IN_MEMORY, Evaluation, score_part
from clipprompt.evaluation.measures import measure, sigmoid
from clipprompt.evaluation.protocols.jobs import Job, Test
from clipprompt.evaluation.protocols.multilabel_sets import load_part
from clipprompt.evaluation.protocols.one_class_sets import folder_name
from clipprompt.evaluation.records import write_records
from clipprompt.evaluation.scoring import FloatMatrix, Scored
from clipprompt.learners import Learner, with_classes
from clipprompt.mini.version import drawing_version


class Chosen(NamedTuple):
    """The pictures of a test.

    Attributes:
        whole: all pictures and classes of the part.
        images: those that are tested, with the tested classes.
    """

    whole: MultiLabelImages
    images: MultiLabelImages


def evaluate_multilabel_tests(
    learner: Learner, job: Job, config: RunConfig, how: Evaluation = IN_MEMORY, train_seconds: float | None = None
) -> Iterator[MultiLabelTestRecord]:
    """Yields one record for each test of a job whose pictures have several classes.

    Args:
        learner: with the prompt as it was learnt; its class names matter where contexts are class-specific.
        job: whose tests they are.
        config: of its run.
        how: where data are, and where features and predictions go. Predictions are written after the last test.
        train_seconds: that learning took.

    Raises:
        UserError: if a set cannot be read, none of its pictures can, a tested picture was learnt from, a class-specific
            context is asked for another class, or a score is not finite.
    """
    lines = list[dict[str, Any]]()
    learnt: Learnt | None = None
    for test in job.tests:
        tested = load_tested(job, test, how.root)
        learnt = learnt or describe_learnt(job, config, tested.whole, train_seconds)
        start = time.perf_counter()
        scored, cached = score_tested({learner.name: learner}, tested, how)
        scores = scored.by_key[learner.name][learner.branch]
        if how.predictions is not None:
            lines += _lines(test, scored.dataset, scores)
        part = _describe_part(test, scored, cached, time.perf_counter() - start)
        yield MultiLabelTestRecord(
            **describe_test(learner, job, config, test, part, learnt),
            **measure(scores, scored.dataset.targets, ("sigmoid", sigmoid(scores))),
            dataset_options=dict(scored.dataset.options),
            learns_from=job.learns_from if job.learns else "nothing",
            corpus=name_corpus(job, config),
            known=job.known,
            branch=learner.branch,
            members=[],
            weights=[],
            weights_by=None,
        )
    if how.predictions is not None:
        write_records(how.predictions, lines)


def load_tested(job: Job, test: Test, root: Path | None) -> Chosen:
    """The pictures of a test. Where seen classes are told from unseen ones, only those with a tested class.

    Args:
        job: whose test it is.
        test: one of the job's.
        root: folder of named sets.

    Raises:
        UserError: if the set cannot be read, or no picture is left.
    """
    whole = load_part(test.dataset, test.part, root)
    if all(one.subset == "all" for one in job.tests):
        return Chosen(whole, whole)
    seen, unseen = class_groups(whole, whole.name, job.class_split)
    chosen = {"base": seen, "novel": unseen, "all": (*seen, *unseen)}[test.subset]
    return Chosen(whole, with_any_of(whole, [name for name in whole.classnames if name in set(chosen)]))


def score_tested(
    learners: Mapping[str, Learner], tested: Chosen, how: Evaluation = IN_MEMORY
) -> tuple[Scored[str], bool]:
    """Scores by learner, by the branch that each answers with, and whether they went through the cache on disk.

    Args:
        learners: of one backbone, with any class names.
        tested: of :func:`load_tested`.
        how: where features go, and how they are made.

    Raises:
        UserError: as :func:`clipprompt.evaluation.scoring.score_images`, or if class-specific contexts are asked for
            other classes.
    """
    names = tested.images.classnames
    ready = {key: with_classes(learner, names) for key, learner in learners.items()}
    return score_part(ready, tested.images, tested.whole.items, how, _drawn_by(tested.whole))


def _describe_part(test: Test, scored: Scored[str], cached: bool, seconds: float) -> TestedPart:
    images = scored.dataset
    return TestedPart(folder_name(test.dataset), images, images.split_hash(), len(scored.skipped), cached, seconds)


def _drawn_by(images: MultiLabelImages) -> str:
    return "" if images.open_item is open_image else drawing_version()


def _lines(test: Test, images: MultiLabelImages, scores: FloatMatrix) -> Iterator[dict[str, Any]]:
    """One line a picture: enough to find it, what is known of it, and what each class was given."""
    chances = sigmoid(scores).round(6).tolist()
    for item, name, labels, row in zip(images.items, images.ids, images.targets, chances, strict=True):
        yield {
            "dataset": folder_name(test.dataset),
            "part": test.part,
            "tested_subset": test.subset,
            "file": str(item.absolute()) if isinstance(item, Path) else None,
            "path": name,
            "present": [images.classnames[column] for column in np.flatnonzero(labels == PRESENT)],
            "unknown": [images.classnames[column] for column in np.flatnonzero(labels == UNKNOWN)],
            "probabilities": dict(zip(images.classnames, row, strict=True)),
        }
