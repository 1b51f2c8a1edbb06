"""Tables of protocols: for the terminal, Markdown, CSV, LaTeX, and the records themselves."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from clipprompt.errors import UserError, nearest
from clipprompt.reports.protocols.papers.beside import find_published
from clipprompt.reports.protocols.papers.found import Papers
from clipprompt.reports.protocols.rows import ProtocolTable
from clipprompt.reports.render.grid import Grid
from clipprompt.reports.render.grids import make_grids

if TYPE_CHECKING:
    from rich.console import RenderableType

FORMATS = ("table", "md", "csv", "latex", "jsonl")


def render_tables(tables: Sequence[ProtocolTable], format: str, published: bool = True) -> str:  # noqa: A002
    """Renders tables in any format but ``jsonl``, which needs none.

    Args:
        tables: in the order in which they shall stand.
        format: ``table`` (for a terminal of 80 columns), ``md`` and ``latex`` in percent, mean and deviation over runs;
            or ``csv``, one number a line.
        published: whether the papers' numbers stand beside, where they compare.
    """
    from clipprompt.reports.render._csv import to_csv
    from clipprompt.reports.render._latex import to_latex
    from clipprompt.reports.render._markdown import to_markdown

    if format == "table":
        return _terminal(rich_tables(tables, published))
    if format == "csv":
        return to_csv(tables, [_papers(table, published) for table in tables])
    render = to_latex if format == "latex" else to_markdown
    return "\n".join(render(grid) for grid in _grids(tables, published))


def rich_tables(tables: Sequence[ProtocolTable], published: bool = True) -> RenderableType:
    """The tables for a rich console, which knows its width and colours."""
    from rich.console import Group
    from rich.text import Text

    from clipprompt.reports.render._terminal import TerminalGrid

    parts: list[RenderableType] = []
    for grid in _grids(tables, published):
        parts += [*([Text("")] if parts else []), TerminalGrid(grid)]
    return Group(*parts)


def check_protocol_format(name: str) -> None:
    """Checks the name of a format.

    Raises:
        UserError: for an unknown one, with the nearest suggested.
    """
    if name not in FORMATS:
        raise UserError(f"unknown format {name!r}{nearest(name, FORMATS)}; choose one of {', '.join(FORMATS)}")


def _grids(tables: Sequence[ProtocolTable], published: bool) -> list[Grid]:
    return [grid for table in tables for grid in make_grids(table, _papers(table, published))]


def _papers(table: ProtocolTable, published: bool) -> Papers:
    return find_published(table) if published else Papers()


def _terminal(tables: RenderableType) -> str:
    from rich.console import Console

    text = io.StringIO()
    Console(file=text, width=80).print(tables)
    return text.getvalue()
