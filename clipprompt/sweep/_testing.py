"""The second half of a job: its prompt on its tests, and the files that say so."""

from __future__ import annotations

import sys

from clipprompt.config import read_config
from clipprompt.evaluation.classification import Evaluation, evaluate_tests
from clipprompt.evaluation.records import write_records
from clipprompt.learners import create_learner, load_learner
from clipprompt.sweep._backbones import Backbones
from clipprompt.sweep.task import PREDICTIONS, RESULTS, Task
from clipprompt.training.metrics_log import read_metrics

_UNTOLD = ("one", "another")  # names of a learner that has learnt nothing; every test brings its own


def test_task(task: Task, backbones: Backbones) -> list[str]:
    """Tests what was learnt, and writes ``predictions.jsonl`` if asked for, ``results.jsonl`` and ``job.json``.

    Returns:
        A line for each picture that could not be read.

    Raises:
        UserError: as :func:`clipprompt.evaluation.classification.evaluate_tests`, or if a file cannot be written.
    """
    task, skipped = task.with_earlier_tests(), list[str]()
    predictions = task.folder / PREDICTIONS

    def say(line: str) -> None:
        skipped.append(line)
        print(line, file=sys.stderr)  # which is the job's log

    backbone, seconds = backbones.load(task.config), None
    if task.job.learns:
        config = read_config(task.folder / "config.yaml")  # with the fingerprints of what was learnt from
        learner, seconds = load_learner(task.folder, backbone), _train_seconds(task)
    else:
        config = task.config
        learner = create_learner(task.job.method, backbone, _UNTOLD, **config.learner)
    how = Evaluation(
        root=task.root,
        cache=task.cache,
        predictions=predictions if task.predictions or predictions.is_file() else None,  # none older than the results
        workers=config.data.workers,
        places=task.places,
        say=say,
    )
    write_records(task.folder / RESULTS, evaluate_tests(learner, task.job, config, how, seconds))
    task.describe()
    return skipped


def _train_seconds(task: Task) -> float:
    """Over all processes of a run that was gone on with."""
    lines = read_metrics(task.folder / "metrics.jsonl")
    return round(sum(float(line["seconds"]) for line in lines if "epoch" in line), 3)
