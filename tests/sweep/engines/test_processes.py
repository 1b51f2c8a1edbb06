"""Worker processes, with a stand-in for the job: what becomes of killed ones, and what each of them sees."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch

from clipprompt.errors import UserError
from clipprompt.locks import locked
from clipprompt.stopping import InterruptedRunError, StopRequest
from clipprompt.sweep.engines import local, processes
from clipprompt.sweep.run_job import JOB_LOCK, Outcome
from clipprompt.sweep.task import Task

Tasks = Callable[..., list[Task]]


@pytest.mark.slow
def test_a_worker_that_is_killed_again_and_again_fails_its_job_and_no_other(
    tasks_for: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    monkeypatch.setattr(processes, "_work", die_of_seed_2)
    events = list(processes.run(tasks_for(seeds=(1, 2, 3)), 2, StopRequest()))
    ended = {event.place: (event.state, event.message) for event in events if event.state in ("done", "failed")}
    assert ended[0] == ended[2] == ("done", "by a worker")
    assert ended[1] == ("failed", "its process was killed (SIGKILL), 2 times")
    assert [event.message for event in events if event.state == "pending"] == [
        "its process was killed (SIGKILL); tried once more"
    ]
    assert not multiprocessing.active_children()


def die_of_seed_2(pipe: Connection, environment: Mapping[str, str], n_threads: int) -> None:
    """A worker that does nothing but die of one job."""
    while True:
        if pipe.recv().job.seed == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        pipe.send(Outcome("done", "by a worker"))


@pytest.mark.slow
def test_the_job_of_a_worker_that_alone_is_told_to_stop_is_tried_once_more(
    tasks_for: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    monkeypatch.setattr(processes, "_work", be_told_to_stop_once)
    events = list(processes.run(tasks_for(seeds=(1, 2)), 1, StopRequest()))
    assert [(event.place, event.state, event.message) for event in events] == [
        (0, "running", ""),
        (0, "pending", "its process was told to stop; tried once more"),
        (0, "running", ""),
        (0, "done", ""),
        (1, "running", ""),
        (1, "done", ""),
    ]


def be_told_to_stop_once(pipe: Connection, environment: Mapping[str, str], n_threads: int) -> None:
    """A true worker, which gets a SIGTERM in its first job."""

    def run_job(task: Task, backbones: object, stop: StopRequest) -> Outcome:
        if not task.folder.exists():
            task.folder.mkdir(parents=True)
            if task.job.seed == 1:
                os.kill(os.getpid(), signal.SIGTERM)
                stop.raise_if_asked("stopped at epoch 1")
        return Outcome("done")

    processes.run_job = run_job
    processes._work(pipe, environment, n_threads)


@pytest.mark.slow
def test_a_signal_stops_the_workers_where_they_can_go_on(tasks_for: Tasks, tmp_path: Path) -> None:
    stop = StopRequest()
    settings = ("coop:train.epochs=100000", "coop:train.checkpoint_seconds=0.1")
    tasks = tasks_for(seeds=(1, 2, 3), settings=settings)

    def ask_when_both_learn() -> None:
        while len(list(tmp_path.rglob("last.safetensors"))) < 2:
            time.sleep(0.05)
        stop.signum = signal.SIGTERM

    threading.Thread(target=ask_when_both_learn, daemon=True).start()
    with pytest.raises(InterruptedRunError, match="saved where it stands"):
        list(processes.run(tasks, 2, stop))
    assert not multiprocessing.active_children()
    with locked(tasks[0].folder, JOB_LOCK):  # nobody is inside any more
        assert not tasks[0].is_done


@pytest.mark.parametrize(
    ("visible", "n_gpus", "device", "seen"),
    [
        (None, 2, "auto", ["0", "1", "0"]),
        ("3,GPU-ab", 2, "cuda", ["3", "GPU-ab", "3"]),
        (None, 2, "cuda:1", [None, None, None]),
        (None, 2, "cpu", [None, None, None]),
        (None, 0, "auto", [None, None, None]),
    ],
)
def test_workers_take_turns_at_the_gpus(
    visible: str | None,
    n_gpus: int,
    device: str,
    seen: list[str | None],
    tasks_for: Tasks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: n_gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: n_gpus)
    (task,) = tasks_for()
    config = task.config
    config = config.model_copy(update={"backbone": config.backbone.model_copy(update={"device": device})})
    found = processes._environments([replace(task, config=config)], 3)
    assert [one.get("CUDA_VISIBLE_DEVICES") for one in found] == seen


@pytest.mark.parametrize("engine", [local, processes])
def test_a_device_that_is_not_there_is_found_before_anything_runs(engine: object, tasks_for: Tasks) -> None:
    (task,) = tasks_for()
    config = task.config
    config = config.model_copy(update={"backbone": config.backbone.model_copy(update={"device": "cuda:77"})})
    with pytest.raises(UserError, match="'cuda:77' is not there"):
        engine.check([replace(task, config=config)], 1)  # type: ignore[attr-defined]
