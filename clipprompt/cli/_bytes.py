"""A bar for bytes on stderr; lines in its place when stderr is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

from clipprompt.progress import progress


@contextmanager
def show_bytes() -> Iterator[Callable[[str, int, int | None], None]]:
    """Yields a function of (what is done, bytes there, bytes in all or None) that draws one bar for each thing done."""
    with progress(unit="MB") as display:
        tasks = {}

        def report(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = display.add_task(what, total=None, note="")
                if not sys.stderr.isatty():
                    typer.echo(what, err=True)
            size = max(total >> 20, 1) if total is not None else None
            display.update(tasks[what], completed=done >> 20, total=size)

        yield report
