"""``clipprompt report``: the results of runs as tables, a page, or one file of records."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from clipprompt.reports.protocols.gather import Gathered


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
    plots: Annotated[Path | None, typer.Option(metavar="FOLDER", help="write the plots of the page as files")] = None,
    plot_format: Annotated[str, typer.Option(metavar="NAME", help="of these files: png, pdf or svg")] = "png",
    confusions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="write which classes are taken for which: .csv, or a matrix as .png, .pdf, .svg"
        ),
    ] = None,
    contact_sheet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="draw misclassified pictures: .png, .pdf or .svg")
    ] = None,
) -> None:
    """Show what runs have measured: mean and deviation over seeds, averages.

    Folders are searched for results.jsonl. Runs that are not finished are
    counted and left out. What does not compare (another backbone, other
    test pictures) is never averaged. jsonl is the records themselves, each
    once, so that the parts of a sweep become one file. Single pictures are
    known of runs of clipprompt eval --predictions.

      clipprompt report runs/sweep

      clipprompt report part1 part2 --format jsonl -o all.jsonl

      clipprompt report all.jsonl -o table.tex
    """
    from clipprompt.cli._writing import check_output, open_output
    from clipprompt.errors import UserError
    from clipprompt.reports.protocols.gather import gather_records
    from clipprompt.reports.report import render_report, report_format, rich_report

    kind = report_format(output_format, output)
    check_output(output)
    _check_pictures(plot_format, confusions, contact_sheet)
    if kind == "html" and output is None and sys.stdout.isatty():
        raise UserError("a page does not go to a terminal; write it to a file with -o report.html")
    found = gather_records(runs)
    _draw(found, plots, plot_format, confusions, contact_sheet, published)
    if kind == "table" and output is None:
        from rich.console import Console

        Console().print(rich_report(found, published))
    else:
        text = render_report(found, kind, published)
        with open_output(output) as write:
            write(text)
    _say_unfinished(found)


def _check_pictures(plot_format: str, confusions: Path | None, contact_sheet: Path | None) -> None:
    """Refuses early what could only fail at the end."""
    from clipprompt.cli._writing import check_output
    from clipprompt.reports.drawing.figure import check_path
    from clipprompt.reports.mistakes.confusion_files import check_confusions_path

    check_path(f"plots as .{plot_format}")
    check_output(confusions, "--confusions")
    check_output(contact_sheet, "--contact-sheet")
    if confusions is not None:
        check_confusions_path(confusions)
    if contact_sheet is not None:
        check_path(contact_sheet)


def _draw(
    found: Gathered,
    plots: Path | None,
    plot_format: str,
    confusions: Path | None,
    contact_sheet: Path | None,
    published: bool,
) -> None:
    """Files beside the report."""
    if plots is None and confusions is None and contact_sheet is None:
        return
    from clipprompt.reports.drawing.plots import save_protocol_plots
    from clipprompt.reports.mistakes.confusion_files import write_confusions
    from clipprompt.reports.mistakes.confusions import count_confusions
    from clipprompt.reports.mistakes.contact_sheet import write_contact_sheet
    from clipprompt.reports.protocols.summary import summarise_protocols

    tables = summarise_protocols(found.records, found.sources)
    if plots is not None:
        paths = save_protocol_plots(tables, plots, plot_format, published=published, classes=True)
        typer.echo(f"clipprompt: plots in {plots}: {', '.join(path.name for path in paths) or 'none'}", err=True)
    if confusions is not None:
        write_confusions(count_confusions(found.read_predictions(tables)), confusions)
    if contact_sheet is not None:
        n_lost = write_contact_sheet(found.read_predictions(tables), contact_sheet)
        if n_lost:
            typer.echo(f"clipprompt: {n_lost} pictures of {contact_sheet} could not be opened; it says why", err=True)


def _say_unfinished(found: Gathered) -> None:
    """Of a sweep that was cut off, runs that had not begun leave no trace and cannot be counted."""
    n = len(found.unfinished)
    if n:
        begun, verb = n + found.n_runs, "is" if n == 1 else "are"
        typer.echo(
            f"clipprompt: of {begun} runs begun, {n} {verb} not finished, such as {found.unfinished[0]}", err=True
        )
