"""Ensembles in a queue: after their members, whoever has made these, and never without one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import pytest

from clipprompt.errors import UserError
from clipprompt.stopping import StopRequest
from clipprompt.sweep.engines import Event
from clipprompt.sweep.progress import progress_of, seconds_left
from clipprompt.sweep.queue import make_queue, work_through
from clipprompt.sweep.task import Task
from tests.sweep.test_queue import Recorder, Scripted

Tasks = Callable[..., list[Task]]


def finish(task: Task) -> None:
    """Leaves what a run that is done leaves."""
    task.folder.mkdir(parents=True, exist_ok=True)
    task.results.touch()
    task.describe()


@dataclass
class Finishing(Scripted):
    """An engine whose runs leave their folders; those of ``later`` are at another process at first."""

    later: set[str] = field(default_factory=set)

    def run(self, tasks: Sequence[Task], n_jobs: int, stop: StopRequest) -> Iterator[Event]:
        for event in super().run(tasks, n_jobs, stop):
            task = tasks[event.place]
            if event.state == "running" or task.job.name not in self.later:
                finish(task) if event.state == "done" else None
                yield event
            else:
                self.later.remove(task.job.name)
                yield replace(event, state="elsewhere")


def together(*members: Task) -> Task:
    """The ensemble of some tasks."""
    name = "+".join(task.job.method for task in members)
    job = replace(members[0].job, method=name, members=tuple(task.job.name for task in members))
    return replace(members[0], job=job, folder=members[0].folder.parents[2] / job.name, members=members)


@pytest.fixture
def three(tasks_for: Tasks) -> list[Task]:
    """An ensemble in front of its members."""
    members = tasks_for(methods=("coop", "vpt"))
    return [together(*members), *members]


def test_an_ensemble_waits_for_its_members(three: list[Task]) -> None:
    engine = Finishing()
    queue = make_queue(three)
    work_through(queue, engine, Recorder())
    ensemble, first, second = (task.job.name for task in three)
    assert engine.seen == [[first, second], [ensemble]]
    assert {entry.state for entry in queue.entries} == {"done"}


def test_of_members_that_are_done_only_the_ensemble_is_left(three: list[Task]) -> None:
    for task in three[1:]:
        finish(task)
    engine = Finishing()
    work_through(make_queue(three), engine, Recorder())
    assert engine.seen == [[three[0].job.name]]


def test_a_failed_member_fails_its_ensemble_alone_in_one_line(three: list[Task], tasks_for: Tasks) -> None:
    others = tasks_for(methods=("coop", "vpt"), seeds=(2,))
    queue, recorder = make_queue([*three, *others, together(*others)]), Recorder()
    failing = three[2].job.name
    work_through(queue, Finishing({failing: ["failed"]}), recorder)
    assert [entry.state for entry in queue.entries] == ["failed", "done", "failed", "done", "done", "done"]
    assert queue.entries[0].message == f"lacks its member {failing}"
    assert recorder.changes[-3] == (three[0].job.name, "failed")
    again = make_queue(three)
    work_through(again, Finishing(), Recorder())
    assert {entry.state for entry in again.entries} == {"done"}


def test_a_member_that_is_elsewhere_to_the_end_leaves_its_ensemble_to_others(three: list[Task]) -> None:
    queue, name = make_queue(three), three[1].job.name
    work_through(queue, Finishing({name: ["elsewhere"]}), Recorder())
    assert [entry.state for entry in queue.entries] == ["elsewhere", "elsewhere", "done"]
    assert queue.entries[0].message == f"lacks its member {name}"


def test_a_member_that_another_process_has_made_meanwhile_is_enough(three: list[Task]) -> None:
    queue = make_queue(three)
    work_through(queue, Finishing(later={three[1].job.name}), Recorder())
    assert {entry.state for entry in queue.entries} == {"done"}


def test_an_ensemble_that_another_process_is_at_is_asked_for_once_more(three: list[Task]) -> None:
    engine = Finishing(later={three[0].job.name})
    queue = make_queue(three)
    work_through(queue, engine, Recorder())
    assert engine.seen[1:] == [[three[0].job.name]] * 2
    assert {entry.state for entry in queue.entries} == {"done"}


def test_an_ensemble_is_that_of_its_members_settings(three: list[Task], tasks_for: Tasks) -> None:
    finish(three[0])
    three[0].check()
    other = together(*tasks_for(methods=("coop", "vpt"), settings=("vpt:lr=0.5",)))
    with pytest.raises(UserError, match=r"vpt/photos/base-2shots-seed1: train\.lr is [\d.]+ there and 0\.5 here"):
        other.check()


def test_an_ensemble_learns_nothing_and_takes_the_time_of_ensembles(three: list[Task]) -> None:
    assert progress_of(three[0]).phase == "testing"
    queue = make_queue([*three, three[0]])
    for entry, seconds in zip(queue.entries[1:3], (10.0, 20.0), strict=True):
        entry.state, entry.seconds = "done", seconds
    assert seconds_left(queue) == 0.0
    queue.entries[0].state, queue.entries[0].seconds = "done", 3.0
    assert seconds_left(queue) == 3.0
