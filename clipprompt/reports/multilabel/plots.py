"""Per-class average precision as a picture. Figures are made without pyplot, so no global state is touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipprompt.errors import UserError
from clipprompt.printable import printable
from clipprompt.reports.drawing.figure import GREY, INK, LIGHT_BLUE, MARKS, new_figure, plain, save_figure, shorten
from clipprompt.reports.multilabel.summary import SummaryRow, describe, summarise
from clipprompt.reports.tagged import plot_tagged_images

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

__all__ = ["plot_average_precision", "plot_tagged_images"]


_PER_PANEL = 45  # classes in one column of the picture; more get a second column


def plot_average_precision(records: Sequence[Mapping[str, Any]], path: str | Path) -> None:
    """Draws the AP of every class: the last row as bars, in falling order, all other rows as marks on them.

    Args:
        records: multi-label records of one set and one class list; the runs of a row are averaged.
        path: of the picture; its ending (png, pdf, svg) chooses the format.

    Raises:
        UserError: if there is no record, the class lists differ, or the picture cannot be written.
    """
    if len({record["class_hash"] for record in records}) != 1:
        raise UserError("a plot of per-class AP needs records with one class list")
    rows = summarise(records)
    order = _falling_order(rows[-1].average_precision)
    n_panels = -(-len(order) // _PER_PANEL)
    per_panel = -(-len(order) // n_panels)
    figure = new_figure(2.0 + 6.0 * n_panels, 1.6 + 0.25 * per_panel + 0.22 * -(-len(rows) // 2))
    for panel, axes in enumerate(figure.subplots(1, n_panels, squeeze=False)[0]):
        shown = order[panel * per_panel : (panel + 1) * per_panel]
        _draw_bars(axes, rows[-1], shown)
        for row, mark in zip(rows[:-1], cycle(MARKS)):
            _draw_marks(axes, row, shown, mark)
        _set_axes(axes, [records[0]["classnames"][index] for index in shown], per_panel)
    figure.suptitle(plain(describe(records)), fontsize=11, color=INK)
    figure.legend(handles=_handles(rows), loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    save_figure(figure, path)


def _falling_order(values: Sequence[float | None]) -> list[int]:
    """Class indices, the best class first; those without a positive last."""
    return sorted(range(len(values)), key=lambda index: -1.0 if (v := values[index]) is None else v, reverse=True)


def _draw_bars(axes: Axes, row: SummaryRow, shown: Sequence[int]) -> None:
    values = [row.average_precision[index] for index in shown]
    axes.barh(range(len(values)), [value or 0.0 for value in values], height=0.68, color=LIGHT_BLUE, zorder=2)
    for y, value in enumerate(values):
        text, colour = ("no positive", GREY) if value is None else (f"{value:.1f}", INK)
        axes.text(101.5, y, text, ha="left", va="center", fontsize=8.5, color=colour)


def _draw_marks(axes: Axes, row: SummaryRow, shown: Sequence[int], mark: tuple[str, str]) -> None:
    values = [row.average_precision[index] for index in shown]
    places = [(value, y) for y, value in enumerate(values) if value is not None]
    xs, ys = [x for x, _ in places], [y for _, y in places]
    axes.scatter(xs, ys, s=28, marker=mark[0], color=mark[1], edgecolor="white", linewidth=0.6, zorder=3, clip_on=False)


def _set_axes(axes: Axes, names: Sequence[str], height: int) -> None:
    axes.set_yticks(range(len(names)), [plain(shorten(printable(name), 28)) for name in names])
    axes.set_ylim(height - 0.4, -0.6)
    axes.set_xlim(0, 100)
    axes.set_xlabel("average precision, %", fontsize=9, color=INK)
    axes.tick_params(axis="both", length=0, labelsize=9, labelcolor=INK)
    axes.grid(axis="x", color="#e2e2e2", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)


def _handles(rows: Sequence[SummaryRow]) -> list[Artist]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    marks = [
        Line2D([], [], marker=mark, color=colour, linestyle="", markersize=6, label=_legend(row))
        for row, (mark, colour) in zip(rows[:-1], cycle(MARKS))
    ]
    return [*marks, Patch(color=LIGHT_BLUE, label=_legend(rows[-1]))]


def _legend(row: SummaryRow) -> str:
    spread = f" ± {row.std:.1f}" if row.std is not None else ""
    return plain(f"{row.name}: {row.mean:.1f}{spread} mAP")
