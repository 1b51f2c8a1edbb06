"""The queue over engines that do nothing: what is counted, what is asked for again, and that engines clean up."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from clipprompt.errors import UserError
from clipprompt.stopping import InterruptedRunError, StopRequest
from clipprompt.sweep._backbones import Backbones
from clipprompt.sweep.engines import Event, State, list_engines, load_engine
from clipprompt.sweep.queue import Entry, make_queue, work_through
from clipprompt.sweep.run_job import run_job
from clipprompt.sweep.task import Task

Tasks = Callable[..., list[Task]]


@dataclass
class Scripted:
    """An engine that ends every task as it is told; the last state of a task stays."""

    script: dict[str, list[State]] = field(default_factory=dict)
    seen: list[list[str]] = field(default_factory=list)
    closed: int = 0

    def check(self, tasks: Sequence[Task], n_jobs: int) -> None: ...

    def run(self, tasks: Sequence[Task], n_jobs: int, stop: StopRequest) -> Iterator[Event]:
        self.seen.append([task.job.name for task in tasks])
        try:
            for place, task in enumerate(tasks):
                stop.raise_if_asked("stopped between two runs")
                yield Event(place, "running")
                states = self.script.get(task.job.name, ["done"])
                yield Event(place, states.pop(0) if len(states) > 1 else states[0], "why", 2.0)
        finally:
            self.closed += 1


@dataclass
class Recorder:
    changes: list[tuple[str, State]] = field(default_factory=list)

    def changed(self, entry: Entry) -> None:
        self.changes.append((entry.task.job.name, entry.state))


def test_every_file_of_the_folder_is_an_engine() -> None:
    assert list_engines() == ["local", "processes", "ray"]
    assert all(hasattr(load_engine(name), "check") and hasattr(load_engine(name), "run") for name in list_engines())
    with pytest.raises(UserError, match=r"there is no engine 'proceses' \(did you mean 'processes'\?\); choose one of"):
        load_engine("proceses")


def test_a_failure_does_not_stop_the_rest(tasks_for: Tasks) -> None:
    tasks = tasks_for(seeds=(1, 2, 3))
    names = [task.job.name for task in tasks]
    queue, recorder = make_queue(tasks), Recorder()
    work_through(queue, Scripted({names[1]: ["failed"]}), recorder)
    assert [entry.state for entry in queue.entries] == ["done", "failed", "done"]
    assert queue.entries[1].message == "why"
    assert recorder.changes == [
        (name, state) for name, end in zip(names, ("done", "failed", "done"), strict=True) for state in ("running", end)
    ]


def test_what_is_done_is_not_given_to_the_engine(tasks_for: Tasks) -> None:
    tasks = tasks_for(seeds=(1, 2))
    run_job(tasks[0], Backbones(), StopRequest())
    queue, engine = make_queue(tasks), Scripted()
    assert [entry.state for entry in queue.entries] == ["done", "pending"]
    work_through(queue, engine, Recorder())
    assert engine.seen == [[tasks[1].job.name]]
    engine = Scripted()
    run_job(tasks[1], Backbones(), StopRequest())
    work_through(make_queue(tasks), engine, Recorder())
    assert engine.seen == []


@pytest.mark.parametrize(("later", "end"), [("done", "done"), ("elsewhere", "elsewhere")])
def test_what_runs_elsewhere_is_asked_for_once_more_at_the_end(later: State, end: State, tasks_for: Tasks) -> None:
    tasks = tasks_for(seeds=(1, 2))
    name = tasks[0].job.name
    queue, engine = make_queue(tasks), Scripted({name: ["elsewhere", later]})
    work_through(queue, engine, Recorder())
    assert engine.seen == [[task.job.name for task in tasks], [name]]
    assert [entry.state for entry in queue.entries] == [end, "done"]


def test_an_engine_cleans_up_when_its_reader_stops(tasks_for: Tasks) -> None:
    class Interrupting(Recorder):
        def changed(self, entry: Entry) -> None:
            raise KeyboardInterrupt

    engine = Scripted()
    with pytest.raises(KeyboardInterrupt):
        work_through(make_queue(tasks_for(seeds=(1, 2))), engine, Interrupting())
    assert engine.closed == 1


def test_a_signal_is_told_to_the_engine(tasks_for: Tasks) -> None:
    class Signalling(Recorder):
        def changed(self, entry: Entry) -> None:
            super().changed(entry)
            if entry.state == "done":
                signal.raise_signal(signal.SIGTERM)

    recorder = Signalling()
    with pytest.raises(InterruptedRunError, match="between two runs") as stop:
        work_through(make_queue(tasks_for(seeds=(1, 2, 3))), Scripted(), recorder)
    assert stop.value.signum == signal.SIGTERM
    assert len(recorder.changes) == 2


def test_a_folder_of_another_run_is_found_before_anything_runs(tasks_for: Tasks) -> None:
    run_job(tasks_for()[0], Backbones(), StopRequest())
    with pytest.raises(UserError, match="holds another run"):
        make_queue(tasks_for(settings=("coop:lr=0.5",)))
