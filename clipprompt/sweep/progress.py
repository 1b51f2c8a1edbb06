"""How far a job is, read off the files in its folder, whoever runs it; and how long the rest will take."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from clipprompt.sweep.queue import Entry, Queue
from clipprompt.sweep.task import Task

_TAIL_BYTES = 4096  # of metrics.jsonl; its lines are about a hundred


class Progress(NamedTuple):
    """How far a job is.

    Attributes:
        phase: for people: starting, ``epoch 3/50``, or testing.
        part: of the training that is done, 0 to 1.
    """

    phase: str
    part: float


def progress_of(task: Task) -> Progress:
    """Reads how far a running job is. It may be at any moment of its life, so nothing is certain to be there."""
    if not task.job.learns:
        return Progress("testing", 0.0)
    if (task.folder / "prompt.json").is_file():
        return Progress("testing", 1.0)
    epoch, epochs = _last_epoch(task.folder / "metrics.jsonl"), task.config.train.epochs
    if epoch is None:
        return Progress("starting", 0.0)
    return Progress(f"epoch {epoch + 1}/{epochs}" if epoch < epochs else "testing", epoch / max(epochs, 1))


def seconds_left(queue: Queue) -> float | None:
    """Time until the queue is through, from the runs that it has finished; None while that says nothing.

    A run takes as long as those of its method on its set did, else as those of its method, else as all. An ensemble,
    which is made of runs and learns nothing, takes no time until one of its kind has told how long.
    """
    known, unfinished = _Known(queue), queue.in_state("pending", "running")
    left = sum(_left(entry, known) for entry in unfinished)
    return None if left == float("inf") else left / max(1, min(queue.n_jobs, len(unfinished)))


class _Known:
    """Mean times of runs that were finished here."""

    def __init__(self, queue: Queue) -> None:
        times = defaultdict[tuple[str, ...], list[float]](list)
        for entry in queue.in_state("done"):
            for key in _keys(entry) if entry.seconds else ():
                times[key].append(entry.seconds)
        self._means = {key: fmean(values) for key, values in times.items()}

    def of(self, entry: Entry) -> float:
        """What a run is expected to take; infinite where nothing is known."""
        unknown = 0.0 if entry.task.members else float("inf")
        return next((self._means[key] for key in _keys(entry) if key in self._means), unknown)


def _keys(entry: Entry) -> Sequence[tuple[str, ...]]:
    job = entry.task.job
    alike = [(job.spelling, job.dataset), (job.spelling,)]
    return alike if entry.task.members else [*alike, ()]


def _left(entry: Entry, known: _Known) -> float:
    if entry.state == "pending":
        return known.of(entry)
    spent = time.monotonic() - entry.begun
    return max(0.0, known.of(entry) - spent)


def _last_epoch(path: Path) -> int | None:
    """The last epoch that was finished; None before the first line."""
    return next(iter(_epochs(path)), None)


def _epochs(path: Path) -> Iterator[int]:
    with suppress(OSError), path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        for line in reversed(file.read().decode("utf-8", "replace").splitlines()):
            with suppress(ValueError, KeyError, TypeError):  # the first line is cut, the last may be half written
                yield int(json.loads(line)["epoch"])
        yield 0
