"""A sweep at the command line: what is listed before it, and what is said and shown at its end."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from clipprompt.evaluation.protocols.planning import Job
    from clipprompt.sweep.engines import Engine
    from clipprompt.sweep.queue import Queue
    from clipprompt.sweep.request import Request
    from clipprompt.sweep.task import Task


def run(request: Request, tasks: Sequence[Task], folder: Path, engine: Engine, n_jobs: int) -> Queue:
    """Runs tasks.

    Returns:
        What has become of each.

    Raises:
        typer.Exit: after Ctrl-C or SIGTERM.
    """
    # Matrix products on a GPU are repeatable only with this, and only if it is set before the first of them.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    from clipprompt.stopping import InterruptedRunError
    from clipprompt.sweep.sweep import run_sweep

    try:
        return run_sweep(request, tasks, folder, engine, n_jobs, say=say)
    except InterruptedRunError as stop:
        say(f"{stop}; the same command goes on with {folder}")
        raise typer.Exit(128 + stop.signum) from None
    except KeyboardInterrupt:
        say(f"stopped; the same command goes on with {folder}")
        raise typer.Exit(130) from None


def list_tasks(tasks: Sequence[Task]) -> None:
    """Prints every run, what it takes and tests, and where it stands."""
    from rich.console import Console

    from clipprompt.cli._show import new_table
    from clipprompt.sweep.queue import make_queue

    table = new_table("run", "epochs", show_lines=False)
    table.columns[0].overflow = "fold"
    table.add_column("tested on")
    table.add_column("state")
    for entry in make_queue(tasks).entries:
        job = entry.task.job
        epochs = str(entry.task.config.train.epochs) if job.learns else ""
        table.add_row(job.name, epochs, _say_tests(job), entry.state)
    Console().print(table, soft_wrap=not sys.stdout.isatty())


def show_results(folder: Path, output_format: str, plots: Path | None = None) -> None:
    """Prints what ``clipprompt report`` says of a sweep's folder, runs of its other parts included.

    Args:
        folder: of the sweep.
        output_format: of the report.
        plots: folder for its plots, which are named on stderr; None for none.
    """
    from rich.console import Console

    from clipprompt.reports.drawing.plots import save_protocol_plots
    from clipprompt.reports.protocols.gather import gather_records
    from clipprompt.reports.protocols.summary import summarise_protocols
    from clipprompt.reports.report import render_report, rich_report
    from clipprompt.sweep.task import RESULTS

    if next(folder.rglob(RESULTS), None) is None:
        return
    found = gather_records([folder])
    if output_format == "table":
        Console().print(rich_report(found))
    else:
        typer.echo(render_report(found, output_format), nl=False)
    if plots is not None:
        for path in save_protocol_plots(summarise_protocols(found.records, found.sources), plots):
            say(f"curves in {path}")


def name_failures(queue: Queue, folder: Path) -> bool:
    """Says on stderr how many runs are done, and names what failed.

    Returns:
        Whether all of them are done, and nothing was left out.
    """
    from clipprompt.sweep.live import summary

    ended = {entry.task.job.name: entry for entry in queue.entries if entry.state != "done" or entry.message}
    say(f"{summary(queue)}, in {folder}")
    for name, entry in ended.items():
        where = f" (see {entry.task.log})" if entry.state == "failed" and entry.task.log.exists() else ""
        say(f"clipprompt: {name}: {entry.state}: {entry.message}{where}")
    return not ended


def _say_tests(job: Job) -> str:
    """Its classes where it is tested on what it learns from, otherwise the sets too."""
    if job.point:
        return "val"
    own = {test.dataset for test in job.tests} == {job.dataset}
    return ", ".join(test.subset if own else f"{test.dataset} ({test.subset})" for test in job.tests)


def say(message: str) -> None:
    """Tells people something."""
    from clipprompt.printable import printable

    typer.echo(printable(message), err=True)
