"""One job after another in this process, which loads a backbone once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clipprompt.errors import UserError
from clipprompt.stopping import StopRequest
from clipprompt.sweep._backbones import Backbones, check_devices
from clipprompt.sweep.engines import Event
from clipprompt.sweep.run_job import run_job
from clipprompt.sweep.task import Task


def check(tasks: Sequence[Task], n_jobs: int) -> None:
    """Finds a request for several jobs at a time, and a device that is not there.

    Raises:
        UserError: naming what can be had.
    """
    if n_jobs != 1:
        raise UserError(f"--engine local runs one job at a time; for --jobs {n_jobs} take --engine processes or ray")
    check_devices(tasks)


def run(tasks: Sequence[Task], n_jobs: int, stop: StopRequest) -> Iterator[Event]:
    """Works through the tasks; see :class:`clipprompt.sweep.engines.Engine`."""
    backbones = Backbones()
    for place, task in enumerate(tasks):
        stop.raise_if_asked("stopped between two runs")
        yield Event(place, "running")
        outcome = run_job(task, backbones, stop)
        yield Event(place, outcome.state, outcome.message, outcome.seconds)
    stop.raise_if_asked("stopped behind the last run")
