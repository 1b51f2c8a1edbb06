"""Several jobs at a time, each in a worker process of this machine, which keeps its backbone from job to job.

this process --task--> worker 0 … n-1, each with a GPU of its own (round robin) or a share of the CPU's threads
     ^                     |
     +------ outcome ------+      a pipe that closes without one: killed; another worker tries the job once more
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch

from clipprompt.stopping import InterruptedRunError, StopRequest, stop_on_signals
from clipprompt.sweep._backbones import Backbones, check_devices
from clipprompt.sweep.engines import Event
from clipprompt.sweep.run_job import Outcome, run_job
from clipprompt.sweep.task import Task

_TRIES = 2
_GRACE_SECONDS = 60.0  # for what runs to save where it stands, once it is told to stop


def check(tasks: Sequence[Task], n_jobs: int) -> None:
    """Finds a device that is not there.

    Raises:
        UserError: naming what can be used.
    """
    check_devices(tasks)


def run(tasks: Sequence[Task], n_jobs: int, stop: StopRequest) -> Iterator[Event]:
    """Works through the tasks; see :class:`clipprompt.sweep.engines.Engine`."""
    pool = _Pool(tasks, min(n_jobs, len(tasks)))
    try:
        while pool.is_busy and stop.signum is None:
            yield from pool.hand_out()
            yield from pool.listen()
        if stop.signum is not None:
            pool.end_softly()
    finally:
        pool.kill()
    stop.raise_if_asked("stopped; what ran has saved where it stands")


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    place: int | None = None
    began: float = 0.0


class _Pool:
    """Workers, and the places of tasks that wait for one."""

    def __init__(self, tasks: Sequence[Task], n_workers: int) -> None:
        self._tasks, self._waiting, self._tries = tasks, deque(range(len(tasks))), Counter[int]()
        self._environments = _environments(tasks, n_workers)
        self._n_threads = max(1, torch.get_num_threads() // n_workers)
        self._workers: list[_Worker | None] = [None] * n_workers

    @property
    def is_busy(self) -> bool:
        """Whether anything waits or runs."""
        return bool(self._waiting) or any(worker.place is not None for worker in self._alive())

    def hand_out(self) -> Iterator[Event]:
        """Gives waiting tasks to idle workers, which are started when there is something for them."""
        for number in range(len(self._workers)):
            worker = self._workers[number]
            if not self._waiting or (worker is not None and worker.place is not None):
                continue
            worker = worker or self._start(number)
            worker.place, worker.began = self._waiting.popleft(), time.monotonic()
            self._tries[worker.place] += 1
            with contextlib.suppress(OSError):  # it has died while idle: its pipe says so when it is listened to
                worker.pipe.send(self._tasks[worker.place])
            yield Event(worker.place, "running")

    def listen(self, timeout: float = 0.2) -> Iterator[Event]:
        """Takes outcomes."""
        at_work = {worker.pipe: worker for worker in self._alive() if worker.place is not None}
        for pipe in wait(list(at_work), timeout):
            yield from self._hear(at_work[pipe])  # type: ignore[index]

    def end_softly(self) -> None:
        """Tells workers to stop, and gives them the time to save where they stand."""
        for worker in self._alive():
            worker.process.terminate()
        deadline = time.monotonic() + _GRACE_SECONDS
        while any(worker.place is not None for worker in self._alive()) and time.monotonic() < deadline:
            list(self.listen())

    def kill(self) -> None:
        """Ends all workers. Those that are idle have nothing to lose, and the others have had their time."""
        for worker in self._alive():
            worker.process.kill()
            worker.process.join()

    def _alive(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker is not None]

    def _start(self, number: int) -> _Worker:
        # Spawned: a fork of a process with threads and a GPU cannot use either.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, self._environments[number], self._n_threads))
        process.start()
        theirs.close()
        worker = _Worker(process, ours)
        self._workers[number] = worker
        return worker

    def _hear(self, worker: _Worker) -> Iterator[Event]:
        place = worker.place
        assert place is not None
        try:
            outcome: Outcome = worker.pipe.recv()
        except (EOFError, OSError):
            worker.process.join()
            self._workers[self._workers.index(worker)] = None
            how = _how_it_ended(worker.process.exitcode)
            if self._tries[place] < _TRIES:
                self._waiting.appendleft(place)
                yield Event(place, "pending", f"its process {how}; tried once more")
                return
            outcome = Outcome("failed", f"its process {how}, {_TRIES} times", time.monotonic() - worker.began)
        worker.place = None
        yield Event(place, outcome.state, outcome.message, outcome.seconds)


def _environments(tasks: Sequence[Task], n_workers: int) -> list[Mapping[str, str]]:
    """What each worker's environment differs in: the GPU that it sees, where the tasks leave that open."""
    devices = {task.config.backbone.device for task in tasks}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = [str(n) for n in range(torch.cuda.device_count())] if visible is None else visible.split(",")
    if not devices <= {"auto", "cuda"} or not torch.cuda.is_available() or not gpus:
        return [{}] * n_workers
    return [{"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} for number in range(n_workers)]


def _how_it_ended(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"was killed ({signal.Signals(-exitcode).name})"
    if exitcode == 0:
        return "was told to stop"
    return f"ended with exit code {exitcode}"


def _work(pipe: Connection, environment: Mapping[str, str], n_threads: int) -> None:
    """What a worker does."""
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C in a terminal goes to the process that hands out, which passes it on, once
    os.environ.update(environment)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(n_threads)
    backbones = Backbones()
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        redirect_stdout(nowhere),
        redirect_stderr(nowhere),
        stop_on_signals() as stop,
        contextlib.suppress(InterruptedRunError),
    ):
        while stop.signum is None:
            pipe.send(run_job(pipe.recv(), backbones, stop))
    os._exit(0)


def _end_with_parent() -> None:
    """A sweep that is gone on with needs its folders: nothing of the killed one holds on to them."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGKILL)
