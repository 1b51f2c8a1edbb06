"""The jobs of a sweep and what has become of each; an engine works, the queue keeps count and tells the display."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Protocol

from clipprompt.stopping import StopRequest, stop_on_signals
from clipprompt.sweep.engines import Engine, State
from clipprompt.sweep.task import Task


@dataclass
class Entry:
    """A job and where it stands.

    Attributes:
        task: the job.
        state: pending, running, done, failed, or elsewhere where another process is at it.
        message: why it failed, or what was left out.
        seconds: that it ran in this sweep; 0 where it was done before.
        begun: moment at which it began here, by ``time.monotonic``.
    """

    task: Task
    state: State = "pending"
    message: str = ""
    seconds: float = 0.0
    begun: float = 0.0


@dataclass
class Queue:
    """The jobs of a sweep, in order.

    Attributes:
        entries: one for each.
        n_jobs: how many run at a time.
    """

    entries: list[Entry]
    n_jobs: int = 1
    began: float = field(default_factory=time.monotonic)

    def in_state(self, *states: State) -> list[Entry]:
        """The jobs that stand so."""
        return [entry for entry in self.entries if entry.state in states]


class Display(Protocol):
    """Is told of every change."""

    def changed(self, entry: Entry) -> None:
        """An entry of the queue has another state."""


def make_queue(tasks: Iterable[Task], n_jobs: int = 1) -> Queue:
    """A queue in which what is complete is done already.

    Raises:
        UserError: for a folder that holds another job.
    """
    entries = [Entry(task) for task in tasks]
    for entry in entries:
        entry.task.check()
        entry.state = "done" if entry.task.is_done else "pending"
    return Queue(entries, n_jobs)


def work_through(queue: Queue, engine: Engine, display: Display) -> None:
    """Runs what is pending: first what stands alone, then what needs some of that, as ensembles need their members.

    What another process is at is asked for once more, when the rest is through and it may be done.

    Raises:
        InterruptedRunError: after Ctrl-C or SIGTERM.
    """
    with stop_on_signals() as stop:
        for needs_others in (False, True):
            wave = [entry for entry in queue.entries if bool(entry.task.needs) is needs_others]
            _hold_back(wave, queue, display)
            _work(queue, _ready(wave, "pending"), engine, display, stop)
            _work(queue, _ready(wave, "elsewhere"), engine, display, stop)


def _ready(entries: Iterable[Entry], state: State) -> list[Entry]:
    return [entry for entry in entries if entry.state == state and all(one.is_done for one in entry.task.needs)]


def _hold_back(entries: Iterable[Entry], queue: Queue, display: Display) -> None:
    """Ends what lacks another, which has failed, or which another process is at."""
    states = {entry.task.job.name: entry.state for entry in queue.entries}
    for entry in (entry for entry in entries if entry.state == "pending"):
        lacking = [one.job.name for one in entry.task.needs if not one.is_done]
        if lacking:
            entry.state = "elsewhere" if "elsewhere" in map(states.get, lacking) else "failed"
            entry.message = f"lacks its {'member' if entry.task.members else 'point'} {_say_names(lacking)}"
            display.changed(entry)


def _say_names(names: Sequence[str]) -> str:
    return " and ".join(names) if len(names) < 3 else f"{names[0]} and {len(names) - 1} more"


def _work(queue: Queue, entries: Sequence[Entry], engine: Engine, display: Display, stop: StopRequest) -> None:
    if not entries:
        return
    with closing(engine.run([entry.task for entry in entries], queue.n_jobs, stop)) as events:
        for event in events:
            entry = entries[event.place]
            if event.state == "running":
                entry.begun = time.monotonic()
            entry.message, entry.seconds, entry.state = event.message, event.seconds, event.state
            display.changed(entry)
