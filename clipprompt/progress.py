"""Progress bars on stderr, silent when stderr is not a terminal; and times as people say them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")


def progress(*, unit: str = "it") -> Progress:
    """A rich progress display: description, bar, count, speed, time left. Use it as a context manager.

    Tasks may carry a ``note`` field (``update(task, note="loss 0.41")``) that is shown behind the count.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn(unit),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        console=console,
        disable=not sys.stderr.isatty(),
        transient=False,
    )


def track(iterable: Iterable[T], description: str, total: float | None = None, unit: str = "it") -> Iterator[T]:
    """Yields from ``iterable`` while a bar on stderr advances by one per item."""
    with progress(unit=unit) as display:
        size = total if total is not None else getattr(iterable, "__len__", lambda: None)()
        task = display.add_task(description, total=size, note="")
        for item in iterable:
            yield item
            display.advance(task)


def say_seconds(seconds: float) -> str:
    """A time as people say it: 3.1 ms, 0.25 s, 48 s, 12 min, 3 h 20 min."""
    if seconds < 0.0995:
        return f"{1000 * seconds:.2g} ms"
    if seconds < 99.5:
        return f"{seconds:.2g} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60:,} h {minutes % 60} min"
