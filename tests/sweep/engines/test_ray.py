"""A Ray cluster on this machine, in a process of its own: Ray's warnings are not ours."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from clipprompt.errors import UserError
from clipprompt.stopping import StopRequest
from clipprompt.sweep.engines import ray as engine
from clipprompt.sweep.run_job import JOB_LOCK, Outcome
from clipprompt.sweep.task import Task
from clipprompt.training.run_folder import locked
from tests.sweep._command import Sweep
from tests.sweep.conftest import numbers
from tests.sweep.test_killed import command, kill_worker, learning

pytest.importorskip("ray")


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "80"}
    environment.pop("RAY_ADDRESS", None)
    line = [sys.executable, "-m", "clipprompt", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(line, cwd=folder, env=environment, text=True, **pipes)  # type: ignore[call-overload,no-any-return]


@pytest.mark.slow
def test_a_killed_worker_of_the_cluster_costs_no_record(world: Path, tmp_path: Path) -> None:
    alone = Sweep(tmp_path / "alone", *command(world))
    process = start(tmp_path / "ray", *command(world), "--engine", "ray", "--jobs", "2")
    try:
        deadline = time.monotonic() + 120
        while not learning(tmp_path / "ray"):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        run = kill_worker(tmp_path / "ray")
        out, errors = process.communicate(timeout=240)
    finally:
        process.kill()
    assert alone.end() == 0
    assert process.returncode == 0, errors
    assert out == alone.out
    assert numbers(tmp_path / "ray" / "sweep") == numbers(tmp_path / "alone" / "sweep")
    assert "Going on with" in (run / "log.txt").read_text()
    said = [line for line in errors.splitlines() if not line.startswith(("[", "photos", "other"))]
    assert said == ["4 done, in sweep"]


@pytest.mark.slow
def test_a_signal_is_passed_on_to_the_cluster(world: Path, tmp_path: Path) -> None:
    process = start(tmp_path, *command(world), "--set", "train.epochs=5000", "--engine", "ray", "--jobs", "2")
    try:
        while not learning(tmp_path):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.terminate()
        out, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert (process.returncode, out) == (143, "")
    assert errors.splitlines()[-1] == "stopped; what ran has saved where it stands; the same command goes on with sweep"


def test_a_cluster_that_cannot_be_reached_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unreachable:
        @staticmethod
        def init(**options: object) -> None:
            raise ConnectionError(f"Ray Client could not connect to {options['address']}\nand more")

    monkeypatch.setattr(engine, "_import", lambda: Unreachable)
    monkeypatch.setenv("RAY_ADDRESS", "ray://nowhere:10001")
    with pytest.raises(
        UserError, match=r"^cannot reach the Ray cluster at RAY_ADDRESS=ray://nowhere:10001: Ray Client"
    ):
        engine.check([], 1)


@pytest.mark.parametrize(
    ("gpus", "device", "asked"), [(0, "auto", 0), (4, "auto", 1), (4, "cuda", 1), (4, "cpu", 0), (0.5, "auto", 0)]
)
def test_a_job_asks_for_a_gpu_where_there_are_any(
    gpus: float, device: str, asked: int, tasks_for: Callable[..., list[Task]]
) -> None:
    class Cluster:
        @staticmethod
        def cluster_resources() -> dict[str, float]:
            return {"CPU": 8.0, "GPU": gpus}

    (task,) = tasks_for()
    backbone = task.config.backbone.model_copy(update={"device": device})
    task = replace(task, config=task.config.model_copy(update={"backbone": backbone}))
    assert engine._resources(Cluster, [task]) == {"num_cpus": 1, "num_gpus": asked}


def test_a_run_that_a_worker_has_begun_is_seen_by_its_lock(tasks_for: Callable[..., list[Task]]) -> None:
    (task,) = tasks_for()
    now = time.time()
    assert not engine._begun(task, now)
    task.folder.mkdir(parents=True)
    with locked(task.folder, JOB_LOCK):
        assert engine._begun(task, now)
    assert not engine._begun(task, now + 60.0)  # of an earlier sweep


class OneByOne:
    """As much of Ray as the engine needs, with outcomes that are known before."""

    def __init__(self, *outcomes: Outcome | None) -> None:
        self._outcomes = iter(outcomes)
        self.exceptions = SimpleNamespace(RayError=RuntimeError)

    def remote(self, **_: object) -> Callable[..., SimpleNamespace]:
        return lambda _: SimpleNamespace(remote=lambda _: object())

    def cluster_resources(self) -> dict[str, int]:
        return {}

    def wait(self, references: list[object], timeout: float) -> tuple[list[object], list[object]]:
        return references[:1], references[1:]

    def get(self, _: object) -> Outcome | None:
        return next(self._outcomes)


@pytest.mark.parametrize("second", ["done", None])
def test_the_run_of_a_worker_that_alone_is_told_to_stop_is_tried_once_more(
    tasks_for: Callable[..., list[Task]], monkeypatch: pytest.MonkeyPatch, second: str | None
) -> None:
    outcomes = (None, Outcome("done") if second else None)
    monkeypatch.setattr(engine, "_cluster", lambda _: nullcontext(OneByOne(*outcomes)))
    events = [event for event in engine.run(tasks_for()[:1], 1, StopRequest()) if event.state != "running"]
    assert [event.state for event in events] == ["pending", second or "failed"]
    assert "told to stop" in events[0].message
