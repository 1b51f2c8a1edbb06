"""Curves of a protocol: accuracy or mAP over shots or over the share of known labels, a panel to each set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from clipprompt.reports.drawing._curves import Dot, Scale, curve_panel
from clipprompt.reports.drawing.panel import Style
from clipprompt.reports.drawing.plot import DEVIATION, Plot
from clipprompt.reports.protocols.columns import BY_SHOTS, EVERYTHING, MULTILABEL, NOTHING_LEARNT, amount, measure_of
from clipprompt.reports.protocols.rows import MethodRow, ProtocolTable
from clipprompt.reports.render.grid import heading_of

_DASHED = {
    "few-shot": "Dashed: what has no number of shots, as it learns nothing or from all pictures.",
    "few-shot-multilabel": "Dashed: what has no number of shots, as it learns nothing, from captions, or from all.",
    "partial-label": "Dashed: what learns from no labelled picture.",
}


def has_curves(table: ProtocolTable) -> bool:
    """Whether there is anything that has an amount: of shots, or of known labels."""
    by_shots = table.protocol in BY_SHOTS
    return by_shots or (table.protocol == "partial-label" and any(_amount(table, column) for column in table.measured))


def protocol_curves(table: ProtocolTable, looks: Mapping[str, Style]) -> Plot:
    """The curves of few-shot, of few-shot-multilabel (TaI-DPT's Figure 6), or of partial-label.

    Args:
        table: with at least one number.
        looks: by row.
    """
    panels = []
    scale = _scale(table)
    for name in (None, *table.datasets):
        curves = {row.label: dots for row in table.rows if (dots := list(_dots(table, row, name)))}
        if curves:
            panels.append(curve_panel(heading_of(table, name), curves, looks, scale))
    deviation = DEVIATION if any(number.std for row in table.rows for number in row.numbers.values()) else ""
    dashed = _DASHED[table.protocol] if any(_is_dashed(table, column) for column in table.measured) else ""
    measure = "mAP" if table.protocol in MULTILABEL else "Accuracy"
    title, keys = f"{measure} by {scale.words}, %", tuple(looks.items())
    return Plot(f"{table.protocol}-curves", title, f"{deviation} {dashed}".strip(), tuple(panels), keys)


def _scale(table: ProtocolTable) -> Scale:
    measure = f"{measure_of(table.protocol)}, %"
    if table.protocol in BY_SHOTS:
        return Scale("shots", "shots", measure, is_log=True)
    return Scale("known labels", "labels known, %", measure, is_log=False)


def _dots(table: ProtocolTable, row: MethodRow, dataset: str | None) -> Iterator[Dot]:
    for column in table.measured:
        number = row.numbers.get((dataset, column))
        if number is not None and (_is_dashed(table, column) or _amount(table, column)):
            yield Dot(_amount(table, column), number.mean, number.std)


def _amount(table: ProtocolTable, column: str) -> float | None:
    """All labels are 100 percent of them; all pictures are no number of shots."""
    return 100.0 if table.protocol == "partial-label" and column == EVERYTHING else amount(column)


def _is_dashed(table: ProtocolTable, column: str) -> bool:
    return column == NOTHING_LEARNT or (column == EVERYTHING and table.protocol in BY_SHOTS)
