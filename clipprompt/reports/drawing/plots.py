"""The plots of a protocol: harmonic means as bars, base against novel, curves, accuracy or mAP on each set."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from clipprompt.reports.drawing._bars import Bar, bar_panels
from clipprompt.reports.drawing._scatter import Spot, scatter_panel
from clipprompt.reports.drawing.classes import class_plots
from clipprompt.reports.drawing.curves import has_curves, protocol_curves
from clipprompt.reports.drawing.grid import save_panels
from clipprompt.reports.drawing.panel import Style, styles
from clipprompt.reports.drawing.plot import DEVIATION, Plot
from clipprompt.reports.drawing.tuning import tuning_plots
from clipprompt.reports.protocols.columns import (
    ACCURACY,
    BASE,
    HM,
    MULTILABEL,
    NOTHING_LEARNT,
    NOVEL,
    SINGLE_POSITIVE,
    TUNING,
    title_of,
)
from clipprompt.reports.protocols.papers.beside import find_published
from clipprompt.reports.protocols.papers.found import Papers, differs
from clipprompt.reports.protocols.rows import MethodRow, ProtocolTable
from clipprompt.reports.render.grid import heading_of

_PRINTED = "◇: what papers print; *: more than two standard deviations from it."
_BASE_AGAINST_NOVEL = (
    "To the right: more of the base classes, which were learnt. Up: more of the novel ones, which were not. "
    "On a dashed line the harmonic mean is the same."
)


def protocol_plots(table: ProtocolTable, papers: Papers) -> list[Plot]:
    """All plots of a table.

    Args:
        table: of one protocol.
        papers: what they print, which is marked in the bars.
    """
    looks = styles([row.label for row in table.rows])
    if table.protocol == TUNING:
        return tuning_plots(table, looks)
    if _shown(table, HM):
        title = "Harmonic mean of base and novel accuracy, %"
        return [_bars(table, HM, title, looks, papers), *_scatters(table, looks)]
    curves = [protocol_curves(table, looks)] if has_curves(table) else []
    others = [column for column in table.measured if not curves or column == SINGLE_POSITIVE]
    others = [column for column in others if column != NOTHING_LEARNT] or others  # it stands in all others' bars
    return [*curves, *(_bars(table, column, f"{_measured(table, column)}, %", looks, papers) for column in others)]


def _measured(table: ProtocolTable, column: str) -> str:
    """What bars of a column show, in words."""
    if table.protocol not in MULTILABEL:
        return "Accuracy" if column == ACCURACY else f"Accuracy on {column} classes"
    labels = title_of(column, table.protocol)
    return labels if table.protocol == "multilabel-zero-shot" else f"mAP, {labels}"


def page_plots(table: ProtocolTable, papers: Papers) -> list[Plot]:
    """The same, and where pictures have several classes the average precision of each class.

    Args:
        table: of one protocol.
        papers: as for :func:`protocol_plots`.
    """
    return [*protocol_plots(table, papers), *class_plots(table, styles([row.label for row in table.rows]))]


def save_protocol_plots(
    tables: Sequence[ProtocolTable],
    folder: str | Path,
    ending: str = "png",
    *,
    published: bool = True,
    classes: bool = False,
) -> list[Path]:
    """Writes the plots of all tables as files.

    Args:
        tables: of protocols.
        folder: for the files; made if it is not there.
        ending: png, pdf or svg.
        published: whether the papers' numbers are marked, where they compare.
        classes: whether there are also the plots of single classes, as on the page.

    Returns:
        The files.

    Raises:
        UserError: for another ending, or a folder that cannot be written to.
    """
    paths = []
    for number, table in enumerate(tables, 1):
        of_several = "" if len(tables) == 1 else f"{number}-"
        papers = find_published(table) if published else Papers()
        for plot in (page_plots if classes else protocol_plots)(table, papers):
            paths.append(Path(folder) / f"{of_several}{plot.name}.{ending}")
            save_panels(plot.panels, paths[-1], title=plot.title, keys=plot.keys)
    return paths


def _shown(table: ProtocolTable, column: str) -> list[str | None]:
    """The average, where there is one, and the data sets that some row has a number of."""
    places: list[str | None] = [None, *table.datasets]
    return [name for name in places if any((name, column) in row.numbers for row in table.rows)]


def _bars(table: ProtocolTable, column: str, title: str, looks: Mapping[str, Style], papers: Papers) -> Plot:
    groups = {
        heading_of(table, name): [_bar(row, name, column, papers) for row in table.rows]
        for name in _shown(table, column)
    }
    bars = [bar for group in groups.values() for bar in group]
    deviation = DEVIATION if any(bar.std is not None for bar in bars) else ""
    printed = _PRINTED if any(bar.published is not None for bar in bars) else ""
    name = f"{table.protocol}-{'harmonic-means' if column == HM else re.sub(r'[^a-z0-9]+', '-', column.lower())}"
    return Plot(name, title, f"{deviation} {printed}".strip(), tuple(bar_panels(groups, looks)))


def _bar(row: MethodRow, dataset: str | None, column: str, papers: Papers) -> Bar:
    """Of a column; what learnt from no picture has the same number in all of them."""
    number = row.numbers.get((dataset, column)) or row.numbers.get((dataset, NOTHING_LEARNT))
    printed = papers.beside.get((row.label, (dataset, column)))
    if number is None:
        return Bar(row.label, None)
    flag = " *" if printed is not None and differs(number, printed) else ""
    return Bar(row.label, number.mean, number.std, printed, flag)


def _scatters(table: ProtocolTable, looks: Mapping[str, Style]) -> Iterator[Plot]:
    has_average = len(table.averaged) > 1
    one = heading_of(table, None if has_average else table.datasets[0])
    choices: dict[str, Sequence[str | None]] = {one: [None]} if has_average else {}
    choices[one if len(table.datasets) == 1 else "Every set by itself"] = table.datasets
    spots = {title: list(_spots(table, names)) for title, names in choices.items()}
    panels = tuple(scatter_panel(title, found, looks) for title, found in spots.items() if found)
    if panels:
        name = f"{table.protocol}-base-against-novel"
        yield Plot(name, "Base against novel", _BASE_AGAINST_NOVEL, panels, tuple(looks.items()))


def _spots(table: ProtocolTable, datasets: Sequence[str | None]) -> Iterator[Spot]:
    for row in table.rows:
        for name in datasets:
            base, novel = row.numbers.get((name, BASE)), row.numbers.get((name, NOVEL))
            if base and novel:
                words = row.label if name is None else f"{row.label}, {name}"
                yield Spot(row.label, words, base.mean, novel.mean, base.std, novel.std)
