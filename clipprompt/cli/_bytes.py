"""Bars for bytes on stderr; lines in their place when stderr is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer


@contextmanager
def show_bytes() -> Iterator[Callable[[str, int, int | None], None]]:
    """Yields a function of (what is done, bytes there, bytes in all or None) that draws one bar for each thing done.

    A thing is finished when the next one begins.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), TextColumn("{task.fields[note]}"))
    remaining = TimeRemainingColumn(compact=True, elapsed_when_finished=True)
    console = Console(file=sys.stderr)  # this one, whatever a library that draws bars of its own is given in its place
    with Progress(*columns, remaining, console=console, disable=not sys.stderr.isatty()) as display:
        tasks: dict[str, TaskID] = {}

        def finish() -> None:
            if tasks:
                display.update(list(tasks.values())[-1], total=1, completed=1)

        def report(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                finish()
                tasks[what] = display.add_task(what, total=None, note="")
                if not sys.stderr.isatty():
                    typer.echo(what, err=True)
            note = f"{done / 1e6:,.1f}{f' of {total / 1e6:,.1f}' if total else ''} MB" if done else ""
            display.update(tasks[what], completed=done, total=total, note=note)

        yield report
        finish()
