"""The best point of a grid: from the records of the runs that tried settings to the run that takes the best of them.

    validation.jsonl of each point ──accuracy on val──> the best ──its settings──> Task, and what its record says of it

As good as the best: the smaller learning rate, then the smaller weight decay, then the earlier point.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from clipprompt._yaml import parse_yaml
from clipprompt.errors import NotFiniteError, UserError
from clipprompt.evaluation.job_tests.tuning_records import Grid, GridPoint
from clipprompt.evaluation.records import read_records, write_records
from clipprompt.sweep.task import Task

_SMALLER_FIRST = ("train.lr", "train.weight_decay")


def with_best_settings(task: Task) -> Task:
    """The task with the settings of the best point of its grid; without a grid as it is.

    Raises:
        UserError: if all of its points have diverged.
    """
    if not task.grid:
        return task
    best = task.grid[_best(_points(task))].config
    train = best.train.model_copy(update={"seed": task.config.train.seed})
    return replace(task, config=task.config.model_copy(update={"learner": best.learner, "train": train}))


def chosen_by(task: Task) -> Grid | None:
    """What a record says of the grid; None where there was none.

    Raises:
        UserError: as :func:`with_best_settings`.
    """
    if not task.grid:
        return None
    points = _points(task)
    best, seed = points[_best(points)], task.grid[0].job.seed
    assert best["accuracy"] is not None
    assert seed is not None
    return Grid(chosen=best["settings"], accuracy=best["accuracy"], seed=seed, points=points)


def give_up(task: Task, error: NotFiniteError) -> None:
    """Writes down that a point of a grid has diverged, which is its result.

    Raises:
        UserError: if that cannot be written.
    """
    write_records(task.results, [{"accuracy": None, "reason": str(error)}])
    task.describe()


def forget_weights(point: Task) -> None:
    """Removes what a point of a grid has learnt: who takes its settings learns anew, and a whole tower is large."""
    for name in ("prompt.json", "prompt.safetensors"):
        (point.folder / name).unlink(missing_ok=True)
    shutil.rmtree(point.folder / "checkpoints", ignore_errors=True)


def _points(task: Task) -> list[GridPoint]:
    return [GridPoint(settings=_settings(one), accuracy=_accuracy(one)) for one in task.grid]


def _settings(point: Task) -> dict[str, Any]:
    pairs = (setting.partition("=") for setting in point.job.point)
    return {key: parse_yaml(value) for key, _, value in pairs}


def _accuracy(point: Task) -> float | None:
    (record,) = read_records(point.results)
    found = record.get("accuracy")
    return None if found is None else float(found)


def _best(points: Sequence[GridPoint]) -> int:
    found = [place for place, point in enumerate(points) if point["accuracy"] is not None]
    if not found:
        n = len(points)
        raise UserError(
            f"all {n} points of the grid have diverged: try lower rates, as with --grid train.lr=0.01,0.001"
        )
    return min(found, key=lambda place: (-(points[place]["accuracy"] or 0.0), *_smallness(points[place]), place))


def _smallness(point: GridPoint) -> tuple[float, ...]:
    return tuple(float(point["settings"].get(key, 0.0)) for key in _SMALLER_FIRST)
