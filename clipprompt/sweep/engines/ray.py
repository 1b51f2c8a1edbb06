"""Jobs as tasks of a Ray cluster, whose machines share the sweep's folder: ``$RAY_ADDRESS``, or one on this machine.

A job takes a GPU where the cluster has any, otherwise a CPU. The job of a worker that is killed is tried once more, by
Ray. Results are files, so they are those of the other engines.
"""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from clipprompt.errors import UserError
from clipprompt.stopping import InterruptedRunError, StopRequest, handlers_kept, stop_on_signals
from clipprompt.sweep._backbones import Backbones
from clipprompt.sweep.engines import Event
from clipprompt.sweep.run_job import JOB_LOCK, Outcome, run_job
from clipprompt.sweep.task import Task

_QUIET = {"RAY_DISABLE_IMPORT_WARNING": "1", "RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
_STORE_BYTES = 80 * 2**20  # of objects that tasks hand each other: next to nothing; Ray's least is 75 MB
_GRACE_SECONDS = 60.0  # for what runs to save where it stands, once it is told to stop
_CLOCKS_DIFFER = 5.0  # seconds
_backbones = Backbones()  # of a worker of the cluster, from task to task


def check(tasks: Sequence[Task], n_jobs: int) -> None:
    """Finds that Ray is not installed, or that the cluster that is meant cannot be reached.

    Raises:
        UserError: with what to do.
    """
    _import()
    if os.environ.get("RAY_ADDRESS"):
        with _cluster(n_jobs):
            pass


def run(tasks: Sequence[Task], n_jobs: int, stop: StopRequest) -> Iterator[Event]:
    """Works through the tasks; see :class:`clipprompt.sweep.engines.Engine`."""
    with _cluster(n_jobs) as ray:
        work = ray.remote(max_retries=1, **_resources(ray, tasks))(_work)
        waiting = {work.remote(task): place for place, task in enumerate(tasks)}
        begun, again, since = set[int](), set[int](), time.time()
        while waiting and stop.signum is None:
            ready, _ = ray.wait(list(waiting), timeout=0.5)
            for place in waiting.values():
                if place not in begun and _begun(tasks[place], since):
                    begun.add(place)
                    yield Event(place, "running")
            for reference in ready:
                place = waiting.pop(reference)
                outcome = _outcome(ray, reference)
                if outcome is None and place not in again and stop.signum is None:
                    again.add(place)
                    waiting[work.remote(tasks[place])] = place
                    yield Event(place, "pending", "its worker in the cluster was told to stop; tried once more")
                    continue
                outcome = outcome or Outcome("failed", "its worker in the cluster was told to stop")
                yield Event(place, outcome.state, outcome.message, outcome.seconds)
        for reference in waiting:
            ray.cancel(reference)
        if waiting:
            ray.wait(list(waiting), num_returns=len(waiting), timeout=_GRACE_SECONDS)
    stop.raise_if_asked("stopped; what ran has saved where it stands")


def _work(task: Task) -> Outcome | None:
    """What a worker of the cluster does."""
    with stop_on_signals() as stop:
        try:
            return run_job(task, _backbones, stop)
        except InterruptedRunError:
            return None


def _outcome(ray: Any, reference: Any) -> Outcome | None:
    """What came of a task; None where its worker was told to stop."""
    try:
        outcome: Outcome | None = ray.get(reference)
    except ray.exceptions.RayError as error:
        return Outcome("failed", f"its worker in the cluster was lost, twice: {' '.join(str(error).split())[:200]}")
    return outcome


def _begun(task: Task, since: float) -> bool:
    """Whether a worker has begun with a task, as its folder says: Ray does not tell. Clocks may differ a little."""
    try:
        return (task.folder / JOB_LOCK).stat().st_mtime > since - _CLOCKS_DIFFER
    except OSError:
        return False


def _resources(ray: Any, tasks: Sequence[Task]) -> dict[str, int]:
    on_gpu = any(task.config.backbone.device != "cpu" for task in tasks)
    has_gpus = ray.cluster_resources().get("GPU", 0) >= 1
    return {"num_cpus": 1, "num_gpus": int(on_gpu and has_gpus)}


@contextmanager
def _cluster(n_jobs: int) -> Iterator[Any]:
    """Ray, connected."""
    ray = _import()
    address = os.environ.get("RAY_ADDRESS")
    local = {} if address else {"num_cpus": n_jobs, "include_dashboard": False, "object_store_memory": _STORE_BYTES}
    try:
        with handlers_kept():
            ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **local)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        where = f"the Ray cluster at RAY_ADDRESS={address}" if address else "a Ray cluster on this machine"
        raise UserError(f"cannot reach {where}: {str(error).splitlines()[0]}") from error
    try:
        # Ray prints there what it thinks of lost workers; stdout is for results.
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
            yield ray
    finally:
        ray.shutdown()


def _import() -> Any:
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import ray
            import ray.exceptions
    except ImportError as error:
        raise UserError("--engine ray needs Ray: pip install 'clipprompt[ray]'") from error
    return ray
