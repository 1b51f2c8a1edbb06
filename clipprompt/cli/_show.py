"""Records on stdout: a table for the terminal's width and colours, or text for a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from clipprompt.reports.tables import PublishedRows, Records


def show_records(
    records: Records, output_format: str, published: PublishedRows | None = None, metrics: str = "map"
) -> None:
    """Prints records as ``table``, ``md``, ``csv`` or ``json``; the first two with ``map`` alone or ``all`` metrics."""
    from clipprompt.reports.tables import render_table, rich_table

    if output_format == "table":
        from rich.console import Console

        Console().print(rich_table(records, published, metrics))
    else:
        typer.echo(render_table(records, output_format, published, metrics), nl=False)
