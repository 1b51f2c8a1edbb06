"""Tables of multi-label records: for the terminal, Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clipprompt.errors import UserError, nearest
from clipprompt.reports.published import Published
from clipprompt.reports.summary import SummaryRow, describe, summarise

if TYPE_CHECKING:
    from rich.console import RenderableType

FORMATS = ("table", "md", "csv", "json")
Records = Sequence[Mapping[str, Any]]
PublishedRows = Mapping[tuple[str, str], Published]


def render_table(records: Records, format: str = "table", published: PublishedRows | None = None) -> str:  # noqa: A002
    """Renders records side by side.

    Args:
        records: multi-label records.
        format: ``table`` (for a terminal of 80 columns), ``md``, ``csv``, all three in percent with mean and standard
            deviation over the runs of a row; or ``json``, the records themselves in 0..1.
        published: numbers of a paper to stand beside.

    Raises:
        UserError: for an unknown format.
    """
    check_format(format)
    if format == "json":
        return json.dumps(list(records), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    rows = summarise(records, published)
    if format == "csv":
        return _csv(rows)
    if format == "md":
        return _markdown(rows, describe(records))
    return _terminal(rows, describe(records))


def check_format(name: str) -> None:
    """Checks the name of a format.

    Raises:
        UserError: for an unknown one, with the nearest suggested.
    """
    if name not in FORMATS:
        raise UserError(f"unknown format {name!r}{nearest(name, FORMATS)}; choose one of {', '.join(FORMATS)}")


def rich_table(records: Records, published: PublishedRows | None = None) -> RenderableType:
    """The table for a terminal, to be printed by a rich console (which knows its width and colours)."""
    return _rich(summarise(records, published), describe(records))


def _headings(rows: Sequence[SummaryRow]) -> list[str]:
    several = any(row.n_runs > 1 for row in rows)
    return ["row", "mAP", *(["runs"] if several else []), *(["paper"] if _has_published(rows) else [])]


def _cells(row: SummaryRow, headings: Sequence[str]) -> list[str]:
    spread = f" ± {row.std:.1f}" if row.std is not None else ""
    by_heading = {
        "row": row.name,
        "mAP": "–" if row.mean is None else f"{row.mean:.1f}{spread}",
        "runs": str(row.n_runs or "–"),
        "paper": "–" if row.published is None else f"{row.published:.1f}",
    }
    return [by_heading[heading] for heading in headings]


def _has_published(rows: Sequence[SummaryRow]) -> bool:
    return any(row.published is not None for row in rows)


def _best(rows: Sequence[SummaryRow]) -> float:
    return max((row.mean for row in rows if row.mean is not None), default=float("inf"))


def _markdown(rows: Sequence[SummaryRow], caption: str) -> str:
    headings = _headings(rows)
    lines = [f"mAP in percent: {_escape(caption)}", "", f"| {' | '.join(headings)} |"]
    lines.append("|" + "|".join(["---"] + ["---:"] * (len(headings) - 1)) + "|")
    for row in rows:
        cells = [_escape(cell) for cell in _cells(row, headings)]
        if row.mean == _best(rows):
            cells[1] = f"**{cells[1]}**"
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|")


def _csv(rows: Sequence[SummaryRow]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "map_percent", "std_percent", "runs", "published_percent"])
    for row in rows:
        numbers = ["" if value is None else f"{value:.3f}" for value in (row.mean, row.std)]
        writer.writerow([row.name, *numbers, row.n_runs, "" if row.published is None else row.published])
    return text.getvalue()


def _rich(rows: Sequence[SummaryRow], caption: str) -> RenderableType:
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    headings = _headings(rows)
    table = Table(box=SIMPLE_HEAD)
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "row" else "right", no_wrap=heading != "row")
    for row in rows:
        # Text, not str: names of folders and classes may hold rich's square brackets.
        style = "bold" if row.mean == _best(rows) else "dim" if row.mean is None else ""
        table.add_row(*(Text(cell, style=style) for cell in _cells(row, headings)))
    # Not the table's own title, which would be wrapped to the width of a small table.
    return Group(Text(f"mAP in percent: {caption}"), table)


def _terminal(rows: Sequence[SummaryRow], caption: str) -> str:
    from rich.console import Console

    text = io.StringIO()
    Console(file=text, width=80).print(_rich(rows, caption))
    return text.getvalue()
