"""What a sweep shows on stderr: a live table on a terminal, a line per finished run elsewhere."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from clipprompt.printable import printable
from clipprompt.progress import say_seconds
from clipprompt.sweep.progress import progress_of, seconds_left
from clipprompt.sweep.queue import Display, Entry, Queue

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

_STYLES = {"pending": "dim", "running": "cyan", "done": "green", "failed": "bold red", "elsewhere": "magenta"}
_ORDER = ("running", "failed", "elsewhere", "done", "pending")  # what is shown where there is no place for all
_OTHER_LINES = 4  # of the screen: heading, what is left out, summary, cursor
_BAR, _WIDE_BAR, _WIDE = 5, 10, 100  # cells of a bar; of one on a wide terminal; what is wide
_GAPS = 7  # cells between columns, together
_NUMBERS = {"state": 9, "progress": 14, "time": 6}  # cells of columns, from the start, so that nothing jumps


@contextmanager
def shown(queue: Queue, stream: TextIO | None = None) -> Iterator[Display]:
    """Shows a queue while it is worked through.

    Args:
        queue: what is shown.
        stream: where; stderr by default.
    """
    stream = stream or sys.stderr
    if not stream.isatty():
        yield _Lines(queue, stream)
        return
    from rich.console import Console
    from rich.live import Live

    # Jobs in this process have stderr led to their logs meanwhile, so the table keeps the stream that is a terminal.
    console = Console(file=stream)
    with Live(
        get_renderable=lambda: render(queue, console),
        console=console,
        refresh_per_second=2,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    ):
        yield _Table()


class _Table:
    def changed(self, entry: Entry) -> None:
        """The table reads the queue by itself."""


class _Lines:
    def __init__(self, queue: Queue, stream: TextIO) -> None:
        self._queue, self._stream = queue, stream

    def changed(self, entry: Entry) -> None:
        """Prints a line where a run has ended, or is tried once more."""
        if entry.state == "running":
            return
        if entry.state == "pending":
            print(f"{printable(entry.task.job.name)}: {printable(entry.message)}", file=self._stream, flush=True)
            return
        n_through = len(self._queue.entries) - len(self._queue.in_state("pending", "running"))
        place = f"[{n_through}/{len(self._queue.entries)}]"
        took = f" in {say_seconds(entry.seconds)}" if entry.seconds else ""
        left = f"; {told}" if (told := _say_left(self._queue)) else ""
        print(f"{place} {printable(entry.task.job.name)}: {entry.state}{took}{left}", file=self._stream, flush=True)


def summary(queue: Queue) -> str:
    """How many runs are done, running, failed and left."""
    counts = {
        "done": len(queue.in_state("done")),
        "running": len(queue.in_state("running")),
        "failed": len(queue.in_state("failed")),
        "elsewhere": len(queue.in_state("elsewhere")),
        "left": len(queue.in_state("pending")),
    }
    return ", ".join(f"{n} {name}" for name, n in counts.items() if n or name == "done")


def render(queue: Queue, console: Console) -> RenderableType:
    """The table for the terminal's size, and a line below it."""
    from rich.console import Group
    from rich.text import Text

    place = max(1, console.height - _OTHER_LINES)
    bar = _WIDE_BAR if console.width >= _WIDE else _BAR
    rows = list(_runs(queue.entries, bar) if len(queue.entries) <= place else _groups(queue.entries, bar))
    seen = sorted(rows, key=lambda row: _ORDER.index(row.state))[:place] if len(rows) > place else rows
    table = _new_table(bar)
    state = max(_NUMBERS["state"], *(len(row.told) for row in rows))
    width = console.width - state - bar - _NUMBERS["progress"] - _NUMBERS["time"] - _GAPS
    for row in (row for row in rows if row in seen):
        # The end of a name tells it from others.
        name = row.name if len(row.name) <= width else f"…{row.name[-max(1, width - 1) :]}"
        table.add_row(name, Text(row.told, style=_STYLES[row.state]), row.progress, row.time)
    hidden = [Text(f"… and {len(rows) - len(seen)} more", style="dim")] if len(seen) < len(rows) else []
    end = "  ".join(part for part in (summary(queue), _say_left(queue)) if part)
    return Group(table, *hidden, Text(f"{end}  ({say_seconds(time.monotonic() - queue.began)} so far)", style="bold"))


class _Row:
    """A line of the table: a run, or the runs of a method on a set."""

    def __init__(self, name: str, entries: list[Entry], bar: int) -> None:
        self.name = printable(name)
        states = {entry.state for entry in entries}
        self.state = next(state for state in ("running", "failed", "elsewhere", "pending", "done") if state in states)
        self.told = _count_states(entries) if len(entries) > 1 else self.state
        running = [entry for entry in entries if entry.state == "running"]
        self.progress: Text | str = _say_progress(running[0], bar) if running else ""
        spent = sum(time.monotonic() - entry.begun if entry.state == "running" else entry.seconds for entry in entries)
        self.time = say_seconds(spent) if spent else ""


def _runs(entries: Iterable[Entry], bar: int) -> Iterator[_Row]:
    return (_Row(entry.task.job.name, [entry], bar) for entry in entries)


def _groups(entries: Iterable[Entry], bar: int) -> Iterator[_Row]:
    groups = defaultdict[str, list[Entry]](list)
    for entry in entries:
        groups[entry.task.job.name.rpartition("/")[0]].append(entry)
    return (_Row(name, group, bar) for name, group in groups.items())


def _count_states(entries: list[Entry]) -> str:
    counts = {state: sum(entry.state == state for entry in entries) for state in ("done", "failed", "elsewhere")}
    told = [f"{n} {state}" for state, n in counts.items() if n and state != "done"]
    return ", ".join([f"{counts['done']} of {len(entries)} done", *told])


def _say_progress(entry: Entry, bar: int) -> Text:
    from rich.text import Text

    phase, part = progress_of(entry.task)
    full = round(part * bar)
    return Text.assemble(("━" * full, "cyan"), ("╌" * (bar - full), "dim"), f" {phase}")


def _say_left(queue: Queue) -> str:
    seconds = seconds_left(queue)
    return "" if not seconds else f"about {say_seconds(seconds)} left"


def _new_table(bar: int) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("run", no_wrap=True, overflow="ellipsis")
    for name, width in _NUMBERS.items():
        table.add_column(name, no_wrap=True, min_width=width + (bar if name == "progress" else 0))
    table.columns[-1].justify = "right"
    return table
