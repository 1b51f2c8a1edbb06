"""What was gathered as one report: tables of protocols, tables of multi-label sets, a page, or the records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipprompt.errors import UserError, nearest
from clipprompt.printable import to_json
from clipprompt.reports.multilabel.published import DATASETS, load_published
from clipprompt.reports.multilabel.tables import PublishedRows, render_table, rich_table
from clipprompt.reports.protocols.comparable import distinct_records
from clipprompt.reports.protocols.gather import Gathered
from clipprompt.reports.protocols.reproduce import sweep_command
from clipprompt.reports.protocols.rows import ProtocolTable
from clipprompt.reports.protocols.summary import summarise_protocols
from clipprompt.reports.render.table import render_tables, rich_tables

if TYPE_CHECKING:
    from rich.console import RenderableType

FORMATS = ("table", "md", "csv", "latex", "html", "jsonl")
_OF_MULTILABEL = ("table", "md", "csv", "jsonl")
_BY_ENDING = {".md": "md", ".csv": "csv", ".tex": "latex", ".html": "html", ".htm": "html", ".jsonl": "jsonl"}


def report_format(asked: str | None, output: Path | None) -> str:
    """The format that is asked for, or that the ending of a file says.

    Raises:
        UserError: for an unknown one, with the nearest suggested.
    """
    if asked is None:
        return "table" if output is None else _BY_ENDING.get(output.suffix.lower(), "table")
    if asked not in FORMATS:
        raise UserError(f"unknown format {asked!r}{nearest(asked, FORMATS)}; choose one of {', '.join(FORMATS)}")
    return asked


def rich_report(found: Gathered, published: bool = True) -> RenderableType:
    """All tables for a rich console, which knows its width and colours.

    Raises:
        UserError: if one run has two accuracies on one test set.
    """
    from rich.console import Group
    from rich.text import Text

    tables = summarise_protocols(found.records, found.sources)
    parts: list[RenderableType] = [rich_tables(tables, published)] if tables else []
    for records in _by_set(found):
        parts += [*([Text("")] if parts else []), rich_table(records, _papers(records, published), "all")]
    return Group(*parts)


def render_report(found: Gathered, format: str, published: bool = True) -> str:  # noqa: A002
    """The report as text of any format; ``table`` is for 80 columns.

    Args:
        found: records of protocols and of multi-label sets.
        format: of ``FORMATS``.
        published: whether the papers' numbers stand beside, where they compare.

    Raises:
        UserError: if one run has two accuracies on one test set, or a format cannot hold what was found.
    """
    if format == "jsonl":
        return "".join(f"{to_json(record)}\n" for record in [*_distinct(found), *found.multilabel])
    sets = list(_by_set(found))
    _check_fits(found, len(sets), format)
    tables = summarise_protocols(found.records, found.sources)
    if format == "html":
        return _page(found, tables, published)
    parts = [render_tables(tables, format, published)] if tables else []
    parts += [render_table(records, format, _papers(records, published), "all") for records in sets]
    return "\n".join(parts)


def _distinct(found: Gathered) -> Sequence[Any]:
    return distinct_records(found.records, found.sources)


def _check_fits(found: Gathered, n_sets: int, format: str) -> None:  # noqa: A002
    if found.multilabel and format not in _OF_MULTILABEL:
        raise UserError(
            f"records of eval multilabel have no {format}; choose {', '.join(_OF_MULTILABEL)}, or leave their files out"
        )
    if format == "csv" and n_sets + bool(found.records) > 1:
        raise UserError("csv holds one multi-label set, and no protocols beside it; give their files one at a time")


def _by_set(found: Gathered) -> Iterator[list[dict[str, Any]]]:
    """Multi-label records by data set, in the order in which sets first appear."""
    for name in dict.fromkeys(record["dataset"] for record in found.multilabel):
        yield [record for record in found.multilabel if record["dataset"] == name]


def _papers(records: Sequence[dict[str, Any]], published: bool) -> PublishedRows | None:
    name, backbones = records[0]["dataset"].partition(":")[0], {record["backbone"] for record in records}
    has_papers = published and name in DATASETS and len(backbones) == 1
    return load_published(name, backbones.pop()) if has_papers else None


def _page(found: Gathered, tables: Sequence[ProtocolTable], published: bool) -> str:
    from clipprompt.reports.pages.report_page import render_report_page

    return render_report_page(
        tables,
        predictions=found.read_predictions(tables),
        commands=[sweep_command(path) for path in found.sweeps],
        incomplete=[str(folder) for folder in found.unfinished],
        published=published,
    )
