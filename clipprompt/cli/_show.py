"""Records on stdout: a table for the terminal's width and colours, or text for a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from clipprompt.reports.multilabel.tables import PublishedRows, Records


def show_records(
    records: Records, output_format: str, published: PublishedRows | None = None, metrics: str = "map"
) -> None:
    """Prints records as ``table``, ``md``, ``csv`` or ``json``; the first two with ``map`` alone or ``all`` metrics."""
    from clipprompt.reports.multilabel.tables import render_table, rich_table

    if output_format == "table":
        from rich.console import Console

        Console().print(rich_table(records, published, metrics))
    else:
        typer.echo(render_table(records, output_format, published, metrics), nl=False)


def new_table(first: str, *numbers: str, **options: Any) -> Table:
    """An empty table in the house's looks: a column of names, and columns of numbers to its right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(first, box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False, **options)
    for title in numbers:
        table.add_column(title, justify="right")
    return table
