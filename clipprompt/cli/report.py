"""``clipprompt report``: the results of runs as tables, a page, or one file of records."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from clipprompt.reports.gather import Gathered


def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUNS...", help="folders of sweeps or runs, or .jsonl files of records")
    ],
    output_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            metavar="NAME",
            help="table, md, csv, latex, html or jsonl",
            show_default="by the ending of -o, or table",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="write to a file", show_default="stdout")
    ] = None,
    published: Annotated[
        bool, typer.Option("--published/--no-published", help="the papers' numbers beside, where they compare")
    ] = True,
) -> None:
    """Show what runs have measured: mean and deviation over seeds, averages.

    Folders are searched for results.jsonl. Runs that are not finished are
    counted and left out. What does not compare (another backbone, other
    test pictures) is never averaged. jsonl is the records themselves, each
    once, so that the parts of a sweep become one file.

      clipprompt report runs/sweep

      clipprompt report part1 part2 --format jsonl -o all.jsonl

      clipprompt report all.jsonl -o table.tex
    """
    from clipprompt.cli._writing import check_output, open_output
    from clipprompt.errors import UserError
    from clipprompt.reports.gather import gather_records
    from clipprompt.reports.report import render_report, report_format, rich_report

    kind = report_format(output_format, output)
    check_output(output)
    if kind == "html" and output is None and sys.stdout.isatty():
        raise UserError("a page does not go to a terminal; write it to a file with -o report.html")
    found = gather_records(runs)
    if kind == "table" and output is None:
        from rich.console import Console

        Console().print(rich_report(found, published))
    else:
        text = render_report(found, kind, published)
        with open_output(output) as write:
            write(text)
    _say_unfinished(found)


def _say_unfinished(found: Gathered) -> None:
    n = len(found.unfinished)
    if n:
        of, verb = n + found.n_runs, "is" if n == 1 else "are"
        typer.echo(f"clipprompt: {n} of {of} runs {verb} not finished, such as {found.unfinished[0]}", err=True)
