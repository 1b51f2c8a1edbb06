"""What is shown while a sweep runs: a table that fits its terminal, lines elsewhere, and how far runs are."""

from __future__ import annotations

import io
import json
import os
import pty
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from clipprompt.sweep.live import render, shown, summary
from clipprompt.sweep.progress import progress_of, seconds_left
from clipprompt.sweep.queue import Entry, Queue, make_queue
from clipprompt.sweep.task import Task

Tasks = Callable[..., list[Task]]


def write_metrics(task: Task, *epochs: int, more: str = "") -> None:
    task.folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps({"step": epoch, "epoch": epoch, "loss": 0.5}) + "\n" for epoch in epochs)
    (task.folder / "metrics.jsonl").write_text(lines + more)


def drawn(queue: Queue, width: int, height: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    with console.capture() as text:
        console.print(render(queue, console))
    return text.get().splitlines()


def finish(entry: Entry, seconds: float) -> None:
    entry.state, entry.seconds = "done", seconds


def test_how_far_a_run_is_stands_in_its_folder(tasks_for: Tasks) -> None:
    (task,) = tasks_for(settings=("coop:train.epochs=4",))
    assert progress_of(task) == ("starting", 0.0)
    write_metrics(task)
    assert progress_of(task) == ("epoch 1/4", 0.0)
    write_metrics(task, 1, 2, more='{"step": 9, "step_loss": 0.1}\n{"step": 10, "epo')
    assert progress_of(task) == ("epoch 3/4", 0.5)
    write_metrics(task, *range(1, 4), more=" " * 5000 + "\n")
    assert progress_of(task).phase == "epoch 1/4"  # more than is read of the file: unknown, and no failure
    write_metrics(task, 1, 2, 3, 4)
    assert progress_of(task) == ("testing", 1.0)
    (task.folder / "prompt.json").touch()
    assert progress_of(task) == ("testing", 1.0)


def test_a_method_without_parameters_only_tests(tasks_for: Tasks) -> None:
    assert progress_of(tasks_for(methods=("zero_shot",))[0]).phase == "testing"


def test_time_left_is_that_of_runs_like_those_that_are_finished(tasks_for: Tasks) -> None:
    queue = make_queue(tasks_for(methods=("coop", "zero_shot"), datasets=("photos", "other"), seeds=(1, 2)))
    assert seconds_left(queue) is None
    finish(queue.entries[0], 10.0)
    assert seconds_left(queue) == 50.0  # nothing is known of the other method and the other set
    finish(queue.entries[2], 30.0)
    assert seconds_left(queue) == 10.0 + 30.0 + 2 * 20.0
    queue.n_jobs = 2
    assert seconds_left(queue) == 40.0
    queue.entries[1].state, queue.entries[1].begun = "running", time.monotonic() - 4.0
    assert seconds_left(queue) == pytest.approx(38.0, abs=0.5)
    queue.entries[1].begun -= 1000.0  # longer than expected: no less than nothing is left of it
    assert seconds_left(queue) == pytest.approx(35.0, abs=0.5)
    for entry in queue.entries:
        entry.state = "done"
    assert seconds_left(queue) == 0.0


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_row_for_each_run_where_they_have_place(width: int, tasks_for: Tasks) -> None:
    bar = "━━━━━╌╌╌╌╌" if width == 120 else "━━╌╌╌"
    queue = make_queue(tasks_for(seeds=(1, 2, 3, 4), settings=("coop:train.epochs=4",)))
    one, two, three, _ = queue.entries
    finish(one, 12.0)
    two.state, two.begun = "running", time.monotonic() - 90.0
    write_metrics(two.task, 1, 2)
    three.state, three.message = "failed", "no luck"
    lines = drawn(queue, width, 24)
    assert max(map(len, lines)) <= width
    rows = [line.split() for line in lines[2:6]]
    assert rows[0][0].endswith("-2shots-seed1")
    assert rows[0][0].startswith("…") == (width == 60)
    assert rows[0][1:] == ["done", "12", "s"]
    assert rows[1][1:] == ["running", bar, "epoch", "3/4", "90", "s"]
    assert rows[2][1:] == ["failed"]
    assert rows[3][1:] == ["pending"]
    assert lines[6].startswith("1 done, 1 running, 1 failed, 1 left  about 12 s left")


def test_many_runs_are_shown_by_method_and_set(tasks_for: Tasks) -> None:
    queue = make_queue(tasks_for(methods=("coop", "zero_shot"), datasets=("photos", "other"), seeds=tuple(range(9))))
    for entry in queue.entries[:3]:
        finish(entry, 2.0)
    queue.entries[3].state = "failed"
    lines = drawn(queue, 80, 12)
    assert len(lines) <= 12
    assert lines[2].split() == ["coop/photos", "3", "of", "9", "done,", "1", "failed", "6", "s"]
    assert lines[5].split() == ["zero_shot/other", "pending"]


def test_where_even_these_have_no_place_what_runs_is_shown(tasks_for: Tasks) -> None:
    queue = make_queue(tasks_for(methods=("coop", "zero_shot"), datasets=("photos", "other"), seeds=(1, 2)))
    queue.entries[3].state, queue.entries[3].begun = "running", time.monotonic()
    lines = drawn(queue, 80, 5)
    assert lines[2].startswith("coop/other")
    assert lines[3] == "… and 3 more"


def test_without_a_terminal_a_line_for_each_run_that_ended(tasks_for: Tasks) -> None:
    queue, stream = make_queue(tasks_for(seeds=(1, 2, 3))), io.StringIO()
    one, two, three = queue.entries
    with shown(queue, stream) as display:
        one.state = "running"
        display.changed(one)
        finish(one, 3.0)
        display.changed(one)
        two.state, two.message = "pending", "its process was killed (SIGKILL); tried once more"
        display.changed(two)
        two.state = "failed"
        display.changed(two)
        three.state = "elsewhere"
        display.changed(three)
    assert stream.getvalue().splitlines() == [
        "[1/3] coop/photos/base-2shots-seed1: done in 3 s; about 6 s left",
        "coop/photos/base-2shots-seed2: its process was killed (SIGKILL); tried once more",
        "[2/3] coop/photos/base-2shots-seed2: failed; about 3 s left",
        "[3/3] coop/photos/base-2shots-seed3: elsewhere",
    ]
    assert summary(queue) == "1 done, 1 failed, 1 elsewhere"


def test_on_a_terminal_the_table_goes_when_the_sweep_ends(tasks_for: Tasks, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    queue, read = make_queue(tasks_for(seeds=(1, 2))), bytearray()
    reader = threading.Thread(target=lambda: _read_all(ours, read))
    reader.start()
    with os.fdopen(theirs, "w") as terminal, shown(queue, terminal) as display:
        finish(queue.entries[0], 1.0)
        display.changed(queue.entries[0])
        time.sleep(0.7)  # more than a refresh
    reader.join(10)
    os.close(ours)
    assert b"1 done, 1 left" in read
    assert read.decode().rstrip().endswith("\x1b[2K")  # the last line of the table is erased


def _read_all(descriptor: int, into: bytearray) -> None:
    try:
        while chunk := os.read(descriptor, 4096):
            into += chunk
    except OSError:  # the other end is closed
        return
