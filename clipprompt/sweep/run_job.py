"""One job, from wherever it stands to its records: train, test, write the results whole.

    lock the folder ─> done already? ─> run_training (goes on by itself) ─> tests ─> predictions.jsonl ─> results.jsonl

The settings of a training may be those of the best point of a grid, whose points are jobs too.
A kill at any moment loses what was done since the last checkpoint, and the same call ends with the same numbers.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Literal

from clipprompt.errors import NotFiniteError, UserError
from clipprompt.files import is_disk_error
from clipprompt.locks import InUseError, locked
from clipprompt.stopping import StopRequest
from clipprompt.sweep._backbones import Backbones
from clipprompt.sweep._grid import forget_weights, give_up, with_best_settings
from clipprompt.sweep._output import note, output_to
from clipprompt.sweep._testing import test_task
from clipprompt.sweep.task import JOB, PREDICTIONS, Task
from clipprompt.training.run import run_training

JOB_LOCK = ".job.lock"


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes:
        state: done; failed; or elsewhere, where another process is at it.
        message: why it failed, or what was left out, in one line.
        seconds: that it took here; 0 where it was done before.
    """

    state: Literal["done", "failed", "elsewhere"]
    message: str = ""
    seconds: float = 0.0


def run_job(task: Task, backbones: Backbones, stop: StopRequest) -> Outcome:
    """Brings a job to its end. What goes wrong is an outcome, and stands in the job's ``log.txt`` in full.

    Args:
        task: the job and its folder.
        backbones: keeps the backbone for the next job.
        stop: asked between the steps, and told of a signal.

    Raises:
        InterruptedRunError: after Ctrl-C or SIGTERM; the same call goes on.
    """
    started = time.monotonic()
    try:
        skipped = _run(task, backbones, stop)
    except InUseError as error:
        return Outcome("elsewhere", str(error))
    except UserError as error:
        note(task.log, f"failed: {error}")
        return Outcome("failed", str(error), time.monotonic() - started)
    except Exception as error:
        note(task.log, traceback.format_exc())
        if isinstance(error, OSError) and is_disk_error(error):
            what = f"cannot write in {task.folder}: {error.strerror}"
        else:
            what = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        return Outcome("failed", what, time.monotonic() - started)
    return Outcome("done", skipped, time.monotonic() - started)


def _run(task: Task, backbones: Backbones, stop: StopRequest) -> str:
    """Returns what was left out, in one line."""
    with _claimed(task):
        if task.is_done:
            return ""
        with output_to(task.log):
            try:
                skipped = _train_and_test(task, backbones, stop)
            except NotFiniteError as error:
                if not task.job.point:
                    raise
                note(task.log, f"this point of the grid gives no numbers: {error}")
                give_up(task, error)
                skipped = []
        for point in (*task.grid, *([task] if task.job.point else [])):  # a kill may have left those of an earlier one
            forget_weights(point)
    return (
        f"left out: {skipped[0]}" + (f" (and {len(skipped) - 1} more)" if len(skipped) > 1 else "") if skipped else ""
    )


def _train_and_test(task: Task, backbones: Backbones, stop: StopRequest) -> list[str]:
    """Returns a line for each picture that could not be read."""
    skipped = list[str]()
    if task.job.learns:
        result = run_training(with_best_settings(task).config, task.folder, load=backbones.load)
        skipped += result.skipped if result is not None else ()
    with stop.at_once("stopped while testing"):  # features are kept as they come; the rest is seconds of work
        return skipped + test_task(task, backbones)


@contextmanager
def _claimed(task: Task) -> Iterator[None]:
    """Keeps other sweeps off the job, and finds a folder that is another job's."""
    try:
        task.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot use {task.folder} as a run folder: {error.strerror or error}") from error
    with ExitStack() as stack:
        stack.enter_context(locked(task.folder, JOB_LOCK))
        for name in (task.results.name, PREDICTIONS, JOB):
            for torn in task.folder.glob(f".{name}.*.part"):
                torn.unlink(missing_ok=True)  # half written by a killed process
        task.check()
        yield
