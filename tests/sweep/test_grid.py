"""Grids in a queue: their points first, then what takes the best of them, wherever a kill has cut it off."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from clipprompt.errors import NotFiniteError, UserError
from clipprompt.evaluation.records import read_records
from clipprompt.stopping import StopRequest
from clipprompt.sweep import run_job as module
from clipprompt.sweep._backbones import Backbones
from clipprompt.sweep._grid import chosen_by, give_up, with_best_settings
from clipprompt.sweep.engines import load_engine
from clipprompt.sweep.queue import make_queue, work_through
from clipprompt.sweep.run_job import run_job
from clipprompt.sweep.shards import Shard
from clipprompt.sweep.sweep import _part
from clipprompt.sweep.task import Task
from tests.sweep.conftest import numbers
from tests.sweep.test_queue import Recorder
from tests.sweep.test_waves import Finishing

Tasks = Callable[..., list[Task]]
SHORT = ("train.epochs=1", "train.warmup_epochs=0", "train.batch_size=4")


@pytest.fixture
def grid_for(tasks_for: Tasks) -> Tasks:
    """A linear layer on the small world: points of the given rates and decays, and the run that takes the best."""

    def make(rates: str = "0.2,0.1", decays: str = "0.0", **changes: Any) -> list[Task]:
        axes = (f"train.lr={rates}", f"train.weight_decay={decays}")
        changes = {"methods": ("linear",), "settings": SHORT, **changes}
        return tasks_for(protocol="visual-tuning", grid=axes, **changes)

    return make


def _write(points: list[Task], accuracies: list[float | None]) -> None:
    for point, accuracy in zip(points, accuracies, strict=True):
        if accuracy is None:
            give_up(point, NotFiniteError("the loss is nan"))
        else:
            point.folder.mkdir(parents=True, exist_ok=True)
            point.results.write_text(json.dumps({"accuracy": accuracy}))
            point.describe()


def _run(task: Task) -> str:
    outcome = run_job(task, Backbones(), StopRequest())
    return f"{outcome.state} {outcome.message}".strip()


@pytest.mark.parametrize(
    ("accuracies", "chosen"),
    [
        ([0.5, 0.6, 0.9, 0.4], (0.1, 0.01)),
        ([0.9, 0.6, 0.9, 0.4], (0.1, 0.01)),  # the smaller rate
        ([0.5, 0.4, 0.9, 0.9], (0.1, 0.0)),  # then the smaller decay
        ([0.9, 0.9, 0.9, 0.9], (0.1, 0.0)),
        ([None, 0.1, None, 0.0], (0.2, 0.0)),
        ([0.0, None, None, None], (0.2, 0.01)),
    ],
)
def test_the_best_on_val_is_taken_and_of_equals_the_gentler(
    grid_for: Tasks, accuracies: list[float | None], chosen: tuple[float, float]
) -> None:
    *points, final = grid_for(decays="0.01,0.0")
    _write(points, accuracies)
    best = with_best_settings(final)
    assert (best.config.train.lr, best.config.train.weight_decay) == chosen
    assert best.config.data == final.config.data
    told = chosen_by(final)
    assert told is not None
    assert told["chosen"] == {"train.lr": chosen[0], "train.weight_decay": chosen[1]}
    assert [point["accuracy"] for point in told["points"]] == accuracies
    assert told["accuracy"] == max(one for one in accuracies if one is not None)


def test_points_come_before_the_run_that_takes_the_best_of_them(grid_for: Tasks) -> None:
    tasks = grid_for(seeds=(1, 2))
    engine = Finishing()
    work_through(make_queue(tasks[::-1]), engine, Recorder())
    assert [set(names) for names in engine.seen] == [
        {task.job.name for task in tasks if task.job.point},
        {task.job.name for task in tasks if task.grid},
    ]


def test_a_failed_point_fails_what_needs_it_and_names_it(grid_for: Tasks) -> None:
    *points, final = grid_for(decays="0.01,0.0")
    queue = make_queue([*points, final])
    work_through(queue, Finishing({points[1].job.name: ["failed"]}), Recorder())
    assert [entry.state for entry in queue.entries] == ["done", "failed", "done", "done", "failed"]
    assert queue.entries[-1].message == f"lacks its point {points[1].job.name}"


def test_a_sweep_searches_learns_from_both_parts_and_says_what_it_chose(grid_for: Tasks, tmp_path: Path) -> None:
    tasks = grid_for("0.2,1e6", seeds=(1, 2))
    queue = make_queue(tasks)
    work_through(queue, load_engine("local"), Recorder())
    assert {(entry.state, entry.message) for entry in queue.entries} == {("done", "")}
    first, second = numbers(tmp_path / "sweep")
    assert (first["method"], first["learner"], first["group"], first["share"]) == ("linear", "linear", None, None)
    assert (first["seed"], second["seed"], first["n_train"], first["part"]) == (1, 2, 16, "test")
    assert first["grid"] == second["grid"]
    assert [point["settings"]["train.lr"] for point in first["grid"]["points"]] == [0.2, 1e6]
    assert first["grid"]["seed"] == 1
    assert first["options"]["train.lr"] == first["grid"]["chosen"]["train.lr"]
    kept = load_file(tasks[-1].folder / "prompt.safetensors")
    assert first["n_parameters"] == sum(tensor.numel() for tensor in kept.values())
    assert not list(tasks[0].folder.glob("prompt*"))
    assert not (tasks[0].folder / "checkpoints").exists()
    assert (tasks[-1].folder / "prompt.safetensors").is_file()
    (record,) = read_records(tasks[0].folder / "validation.jsonl")
    assert (record["part"], record["n_train"], record["grid"]) == ("val", 8, None)
    assert {task.is_done for task in tasks} == {True}


def test_points_that_diverge_have_no_accuracy_and_all_of_them_fail_the_run_in_one_line(
    grid_for: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*_: object, **__: object) -> None:
        raise NotFiniteError("the loss is nan at step 1")

    *points, final = grid_for("0.2,0.1")
    monkeypatch.setattr(module, "run_training", diverge)
    assert [_run(point) for point in points] == ["done", "done"]
    assert read_records(points[0].results) == [{"accuracy": None, "reason": "the loss is nan at step 1"}]
    assert _run(final).startswith("failed all 2 points of the grid have diverged: try lower rates")
    assert not final.is_done
    plain = replace(final, grid=(), job=replace(final.job, grid=()), folder=final.folder.with_name("plain"))
    assert _run(plain) == "failed the loss is nan at step 1"


def test_what_is_cut_off_between_a_point_and_the_rest_goes_on(grid_for: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    *points, final = grid_for("0.2,0.1")
    assert _run(points[0]) == "done"
    before = points[0].results.read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise UserError("cut off")

    with monkeypatch.context() as patch:
        patch.setattr(module, "test_task", fail)
        assert _run(points[1]) == "failed cut off"
    queue = make_queue([*points, final])
    assert [entry.state for entry in queue.entries] == ["done", "pending", "pending"]
    work_through(queue, load_engine("local"), Recorder())
    assert {entry.state for entry in queue.entries} == {"done"}
    assert points[0].results.read_bytes() == before


def test_another_grid_is_another_run(grid_for: Tasks) -> None:
    *points, final = grid_for("0.2,0.1")
    _write(points, [0.5, 0.4])
    assert _run(final) == "done"
    *_, other = grid_for("0.2,0.05")
    with pytest.raises(UserError, match="holds another run: grid is "):
        other.check()


def test_parts_of_a_sweep_take_what_needs_points_once_these_are_done(grid_for: Tasks) -> None:
    tasks, said = grid_for("0.2,0.1", seeds=(1, 2)), list[str]()
    parts = [_part(tasks, Shard(number, 2), said.append) for number in (1, 2)]
    assert [[task.job.name for task in part] for part in parts] == [[task.job.name] for task in tasks[:2]]
    assert said == ["2 runs are left for the end: once all parts are done, the same command again"] * 2
    _write(tasks[:2], [0.5, 0.4])
    parts = [_part(tasks, Shard(number, 2), said.append) for number in (1, 2)]
    assert [part[-1].job.name for part in parts] == [task.job.name for task in tasks[2:]]
    assert len(said) == 2
