"""The second half of a job: its prompt on its tests, and the files that say so."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from clipprompt.backbone import Backbone
from clipprompt.config import read_config
from clipprompt.evaluation.job_tests.ensemble import evaluate_ensemble_tests
from clipprompt.evaluation.job_tests.multilabel import evaluate_multilabel_tests
from clipprompt.evaluation.job_tests.one_class import evaluate_tests
from clipprompt.evaluation.job_tests.one_pass import Evaluation
from clipprompt.evaluation.job_tests.tuning import evaluate_tuning_tests
from clipprompt.evaluation.records import read_records, write_records
from clipprompt.learners import Learner, create_learner, load_learner
from clipprompt.sweep._backbones import Backbones
from clipprompt.sweep._grid import chosen_by
from clipprompt.sweep._weights import fit_weights
from clipprompt.sweep.task import PREDICTIONS, RESULTS, Task
from clipprompt.training.metrics_log import read_metrics

_UNTOLD = ("one", "another")  # names of a learner that has learnt nothing; every test brings its own


def test_task(task: Task, backbones: Backbones) -> list[str]:
    """Tests what was learnt, and writes ``predictions.jsonl`` if asked for, ``results.jsonl`` and ``job.json``.

    Returns:
        A line for each picture that could not be read.

    Raises:
        UserError: as :func:`clipprompt.evaluation.job_tests.one_class.evaluate_tests`, or if a file cannot be written.
    """
    task, skipped = task.with_earlier_tests(), list[str]()
    predictions = task.folder / PREDICTIONS

    def say(line: str) -> None:
        skipped.append(line)
        print(line, file=sys.stderr)  # which is the job's log

    how = Evaluation(
        root=task.root,
        cache=task.cache,
        predictions=predictions if task.predictions or predictions.is_file() else None,  # none older than the results
        workers=task.config.data.workers,
        places=task.places,
        say=say,
    )
    test = _test_ensemble if task.members else _test_learner
    write_records(task.results, test(task, backbones.load(task.config), how))
    task.describe()
    return skipped


def _test_learner(task: Task, backbone: Backbone, how: Evaluation) -> Iterator[Mapping[str, Any]]:
    config, seconds = task.config, None
    if task.job.learns:
        config = read_config(task.folder / "config.yaml")  # with the fingerprints of what was learnt from
        seconds = _train_seconds(task)
    learner = _learner(task, backbone)
    if task.job.variant:
        return evaluate_tuning_tests(learner, task.job, config, how, seconds, chosen_by(task))
    evaluate = evaluate_multilabel_tests if task.job.multilabel else evaluate_tests
    return iter(evaluate(learner, task.job, config, how, seconds))


def _test_ensemble(task: Task, backbone: Backbone, how: Evaluation) -> Iterator[Mapping[str, Any]]:
    learners = {member.job.name: _learner(member, backbone) for member in task.members}
    records: Any = {member.job.name: read_records(member.folder / RESULTS) for member in task.members}
    return evaluate_ensemble_tests(task.job, learners, records, fit_weights(task, learners, how), how)


def _learner(task: Task, backbone: Backbone) -> Learner:
    if task.job.learns:
        return load_learner(task.folder, backbone)
    return create_learner(task.job.method, backbone, _UNTOLD, **task.config.learner)


def _train_seconds(task: Task) -> float:
    """Over all processes of a run that was gone on with."""
    lines = read_metrics(task.folder / "metrics.jsonl")
    return round(sum(float(line["seconds"]) for line in lines if "epoch" in line), 3)
