"""Accuracy of one variant of ``visual-tuning``, with the sizes that its comparison needs."""

from __future__ import annotations

from collections.abc import Iterator

from clipprompt.config import RunConfig
from clipprompt.datasets.classification.groups import group_of
from clipprompt.evaluation.job_tests._facts import drawn_for
from clipprompt.evaluation.job_tests.one_class import evaluate_tests
from clipprompt.evaluation.job_tests.one_pass import IN_MEMORY, Evaluation
from clipprompt.evaluation.job_tests.tuning_records import Grid, TuningRecord
from clipprompt.evaluation.protocols.jobs import Job
from clipprompt.learners import Learner


def evaluate_tuning_tests(
    learner: Learner,
    job: Job,
    config: RunConfig,
    how: Evaluation = IN_MEMORY,
    train_seconds: float | None = None,
    grid: Grid | None = None,
) -> Iterator[TuningRecord]:
    """Yields one record for each test of a job.

    Args:
        learner: as it was learnt.
        job: of a variant.
        config: of its run.
        how: where data, features and predictions are.
        train_seconds: that learning took.
        grid: how its settings were chosen; None where they were given.

    Raises:
        UserError: as :func:`clipprompt.evaluation.job_tests.one_class.evaluate_tests`.
    """
    n_train = len(drawn_for(job, config, how.root).train)
    for record in evaluate_tests(learner, job, config, how, train_seconds):
        own: TuningRecord = {
            **record,
            "method": job.variant,
            "learner": job.method,
            "group": group_of(record["dataset"]),
            "n_parameters": learner.n_parameters,
            "backbone_parameters": learner.backbone.n_image_parameters,
            "n_train": n_train,
            "share": job.share,
            "grid": grid,
        }
        yield own
