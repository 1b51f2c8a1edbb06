"""Plots of visual-tuning: accuracy over training pictures, and over how many numbers are learnt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from clipprompt.printable import printable
from clipprompt.reports.drawing._curves import Dot, Scale, curve_panel
from clipprompt.reports.drawing._sizes import Sized, size_panel
from clipprompt.reports.drawing.panel import Panel, Style
from clipprompt.reports.drawing.plot import DEVIATION, Plot
from clipprompt.reports.protocols.columns import TUNING, amount, column_of
from clipprompt.reports.protocols.groups import (
    group_mean,
    groups_of,
    numbers_by_set,
    shared_sets,
    title_of_group,
    whole,
    without_group,
)
from clipprompt.reports.protocols.rows import MethodRow, Number, ProtocolTable

_SHARES = Scale("training pictures", "training pictures, %", is_log=False)
_PICTURES = Scale("training pictures", "training pictures", unit="picture")
_SMALLER = "To the left: fewer numbers to keep for each set. Up: better."
Place = tuple[str, bool]
"""A group or a set, and whether it is a group."""


def tuning_plots(table: ProtocolTable, looks: Mapping[str, Style]) -> list[Plot]:
    """Both plots; the first where parts of the training pictures were learnt from.

    Groups have a panel each, and so have sets without a group.

    Args:
        table: of visual-tuning.
        looks: by row.
    """
    places = [*((group, True) for group in groups_of(table)), *((name, False) for name in without_group(table))]
    deviation = DEVIATION if any(number.std for row in table.rows for number in row.numbers.values()) else ""
    by_size = tuple(size_panel(_title(table, place), _sized(table, place), looks) for place in places)
    sizes = Plot(f"{TUNING}-parameters", "Accuracy by numbers learnt, %", f"{deviation} {_SMALLER}".strip(), by_size)
    if len(table.measured) < 2:
        return [sizes]
    panels = tuple(_curves(table, place, looks) for place in places)
    title = "Accuracy by training pictures, %"
    return [Plot(f"{TUNING}-pictures", title, deviation, panels, tuple(looks.items())), sizes]


def _title(table: ProtocolTable, place: Place) -> str:
    name, is_group = place
    if not is_group:
        return printable(name)
    n = len(shared_sets(table.rows, name, whole(table.measured)))
    return f"{title_of_group(name)}, {n} set{'s' if n > 1 else ''}"


def _curves(table: ProtocolTable, place: Place, looks: Mapping[str, Style]) -> Panel:
    curves = {row.label: dots for row in table.rows if (dots := list(_dots(table, row, place)))}
    return curve_panel(_title(table, place), curves, looks, _SHARES if place[1] else _PICTURES)


def _dots(table: ProtocolTable, row: MethodRow, place: Place) -> Iterator[Dot]:
    """Of a group over the share of the pictures, of a set over their number; without any, a line from side to side."""
    for column in table.measured:
        number = _number(table, row, place, column)
        if number is not None:
            pictures = amount(column) or 100.0 if place[1] else _n_train(row, place[0], column)
            yield Dot(pictures if row.learns else None, number.mean, number.std)


def _number(table: ProtocolTable, row: MethodRow, place: Place, column: str) -> Number | None:
    name, is_group = place
    return group_mean(row, table.rows, name, column) if is_group else row.numbers.get((name, column))


def _n_train(row: MethodRow, dataset: str, column: str) -> float:
    return fmean(one["n_train"] for one in row.records if one["dataset"] == dataset and column_of(one) == column)


def _sized(table: ProtocolTable, place: Place) -> Sequence[Sized]:
    column, found = whole(table.measured), list[Sized]()
    for row in table.rows:
        number = _number(table, row, place, column)
        if number is not None:
            names = shared_sets(table.rows, place[0], column) if place[1] else [place[0]]
            learnt = numbers_by_set(row.records)
            found.append(Sized(row.label, fmean(learnt[name] for name in names), number.mean, number.std))
    return found
