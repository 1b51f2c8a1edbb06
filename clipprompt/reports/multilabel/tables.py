"""Tables of multi-label records: for the terminal, Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clipprompt.errors import UserError, nearest
from clipprompt.printable import to_json
from clipprompt.reports.multilabel.published import Published
from clipprompt.reports.multilabel.summary import METRICS, SummaryRow, describe, summarise

if TYPE_CHECKING:
    from rich.console import RenderableType

FORMATS = ("table", "md", "csv", "json")
COLUMNS = ("map", "all")
Records = Sequence[Mapping[str, Any]]
PublishedRows = Mapping[tuple[str, str], Published]


def render_table(
    records: Records,
    format: str = "table",  # noqa: A002
    published: PublishedRows | None = None,
    metrics: str = "map",
) -> str:
    """Renders records side by side.

    Args:
        records: multi-label records.
        format: ``table`` (for a terminal of 80 columns), ``md``, ``csv``, all three in percent with mean and standard
            deviation over the runs of a row; or ``json``, the records themselves in 0..1.
        published: numbers of a paper to stand beside.
        metrics: ``map`` alone, or ``all`` beside it. ``csv`` and ``json`` always have all.

    Raises:
        UserError: for an unknown format or choice of metrics.
    """
    check_format(format)
    check_metrics(metrics)
    if format == "json":
        return to_json(list(records), indent=2) + "\n"
    rows = summarise(records, published)
    if format == "csv":
        return _csv(rows)
    if format == "md":
        return _markdown(rows, describe(records), _notes(records, rows, published, metrics), metrics)
    return _terminal(rich_table(records, published, metrics))


def check_format(name: str) -> None:
    """Checks the name of a format.

    Raises:
        UserError: for an unknown one, with the nearest suggested.
    """
    if name not in FORMATS:
        raise UserError(f"unknown format {name!r}{nearest(name, FORMATS)}; choose one of {', '.join(FORMATS)}")


def check_metrics(name: str) -> None:
    """Checks a choice of metrics.

    Raises:
        UserError: for an unknown one, with the nearest suggested.
    """
    if name not in COLUMNS:
        raise UserError(f"unknown metrics {name!r}{nearest(name, COLUMNS)}; choose one of {', '.join(COLUMNS)}")


def rich_table(records: Records, published: PublishedRows | None = None, metrics: str = "map") -> RenderableType:
    """The table for a terminal, to be printed by a rich console (which knows its width and colours)."""
    rows = summarise(records, published)
    return _rich(rows, describe(records), _notes(records, rows, published, metrics), metrics)


def _headings(rows: Sequence[SummaryRow], metrics: str) -> list[str]:
    several = any(row.n_runs > 1 for row in rows)
    beside = [name for name in METRICS if metrics == "all" and any(row.metrics.get(name) is not None for row in rows)]
    return ["row", "mAP", *(["runs"] if several else []), *beside, *(["paper"] if _has_published(rows) else [])]


def _cells(row: SummaryRow, headings: Sequence[str]) -> list[str]:
    spread = f" ± {row.std:.1f}" if row.std is not None else ""
    by_heading = {
        "row": row.name,
        "mAP": "–" if row.mean is None else f"{row.mean:.1f}{spread}",
        "runs": str(row.n_runs or "–"),
        "paper": _percent(row.published),
    }
    return [by_heading[name] if name in by_heading else _percent(row.metrics.get(name)) for name in headings]


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _notes(records: Records, rows: Sequence[SummaryRow], published: PublishedRows | None, metrics: str) -> list[str]:
    """What the columns beside mAP mean."""
    kinds = list(dict.fromkeys(row.probabilities for row in rows if row.probabilities is not None))
    notes = []
    if metrics == "all" and kinds:
        thresholds = " or ".join(dict.fromkeys(f"{record['threshold']:g}" for record in records))
        notes.append(f"CF1, OF1: from probability {thresholds} on ({_of_what(rows, kinds)})")
    if metrics == "all" and "CF1@3" in _headings(rows, metrics):
        ece = "; ECE: expected calibration error" if kinds else ""
        notes.append(f"CF1@3, OF1@3: the 3 best labels of every image{ece}")
    if published and _has_published(rows):
        notes.append(
            f"paper: printed mAP with {next(iter(published.values())).backbone}, or the backbone that is named"
        )
    return notes


def _of_what(rows: Sequence[SummaryRow], kinds: Sequence[str]) -> str:
    names = {"sigmoid": "sigmoid of the logits", "calibrated": "calibrated", "given": "scores as given"}
    if len(kinds) == 1:
        return names[kinds[0]]
    by_kind = {kind: ", ".join(row.name for row in rows if row.probabilities == kind) for kind in kinds}
    parts = [f"{names[kind]} for {those}" for kind, those in by_kind.items() if kind != "sigmoid"]
    return ", ".join([*parts, *(["otherwise sigmoid"] if "sigmoid" in kinds else [])])


def _has_published(rows: Sequence[SummaryRow]) -> bool:
    return any(row.published is not None for row in rows)


def _best(rows: Sequence[SummaryRow]) -> float:
    return max((row.mean for row in rows if row.mean is not None), default=float("inf"))


def _markdown(rows: Sequence[SummaryRow], caption: str, notes: Sequence[str], metrics: str) -> str:
    headings = _headings(rows, metrics)
    lines = [f"{_subject(metrics)}: {_escape(caption)}", "", f"| {' | '.join(headings)} |"]
    lines.append("|" + "|".join(["---"] + ["---:"] * (len(headings) - 1)) + "|")
    for row in rows:
        cells = [_escape(cell) for cell in _cells(row, headings)]
        if row.mean == _best(rows):
            cells[1] = f"**{cells[1]}**"
        lines.append(f"| {' | '.join(cells)} |")
    lines += [part for note in notes for part in ("", _escape(note))]
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|")


def _csv(rows: Sequence[SummaryRow]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    beside = [f"{name.lower().replace('@', '_at_')}_percent" for name in METRICS]
    writer.writerow(["row", "map_percent", "std_percent", "runs", "published_percent", *beside, "probabilities"])
    for row in rows:
        ours = [_decimals(value) for value in (row.mean, row.std)]
        published = "" if row.published is None else row.published
        others = [_decimals(row.metrics.get(name)) for name in METRICS]
        writer.writerow([row.name, *ours, row.n_runs, published, *others, row.probabilities or ""])
    return text.getvalue()


def _decimals(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _rich(rows: Sequence[SummaryRow], caption: str, notes: Sequence[str], metrics: str) -> RenderableType:
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    headings = _headings(rows, metrics)
    # Two spaces between columns and no edges, so that the usual rows fit 80 columns.
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "row" else "right", no_wrap=heading != "row")
    for row in rows:
        # Text, not str: names of folders and classes may hold rich's square brackets.
        style = "bold" if row.mean == _best(rows) else "dim" if row.mean is None else ""
        table.add_row(*(Text(cell, style=style) for cell in _cells(row, headings)))
    # Not the table's own title and caption, which would be wrapped to the width of a small table.
    below = [Text("\n" + "\n".join(notes), style="dim")] if notes else []
    return Group(Text(f"{_subject(metrics)}: {caption}\n"), table, *below)


def _subject(metrics: str) -> str:
    return "mAP in percent" if metrics == "map" else "Percent"


def _terminal(table: RenderableType) -> str:
    from rich.console import Console

    text = io.StringIO()
    Console(file=text, width=80).print(table)
    return text.getvalue()
