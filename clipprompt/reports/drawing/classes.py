"""Average precision of every class: a line to each, a mark to each method."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from clipprompt.reports.drawing.figure import GREY, LINE, SILVER
from clipprompt.reports.drawing.panel import Panel, Style, label, room
from clipprompt.reports.drawing.plot import Plot
from clipprompt.reports.protocols.class_precision import ClassTable, class_tables
from clipprompt.reports.protocols.rows import ProtocolTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PER_PANEL = 40
_LINE, _LENGTH = 0.19, 2.6
_CAPTION = "Easiest classes first, by the mean of what is shown; only classes that some tested picture has."


def class_plots(table: ProtocolTable, looks: Mapping[str, Style]) -> list[Plot]:
    """The classes of each set, where the fewest labels or shots were known; none where pictures have one class.

    Args:
        table: of any protocol.
        looks: by row.
    """
    firsts: dict[str, ClassTable] = {}
    for classes in class_tables(table):
        firsts.setdefault(classes.dataset, classes)
    panels = tuple(panel for classes in firsts.values() for panel in _panels(classes, looks))
    name, title = f"{table.protocol}-classes", "Average precision of single classes, %"
    return [Plot(name, title, _CAPTION, panels, tuple(looks.items()))] if panels else []


def _panels(classes: ClassTable, looks: Mapping[str, Style]) -> Iterator[Panel]:
    names = list(classes.n_positive)
    n_panels = -(-len(names) // _PER_PANEL)
    per_panel = -(-len(names) // n_panels)
    left = room(names, 24) + 0.12
    for start in range(0, len(names), per_panel):
        shown = names[start : start + per_panel]
        part = "" if n_panels == 1 else f" ({start + 1} to {start + len(shown)})"
        yield Panel(
            title=f"{classes.dataset}, {classes.title}{part}",
            alt="; ".join(f"{name}: {_words(classes, name)}" for name in shown),
            draw=partial(_draw, classes=classes, names=shown, looks=looks),
            size=(left + _LENGTH, _LINE * max(per_panel, 4) + 0.4),
            left=left,
            bottom=0.25,
        )


def _words(classes: ClassTable, name: str) -> str:
    return ", ".join(f"{row} {values[name]:.1f}" for row, values in classes.rows.items() if name in values)


def _draw(axes: Axes, classes: ClassTable, names: Sequence[str], looks: Mapping[str, Style]) -> None:
    for y, name in enumerate(names):
        values = [found[name] for found in classes.rows.values() if name in found]
        axes.hlines(y, min(values), max(values), color=SILVER, linewidth=1.2, zorder=2)
    for row, found in classes.rows.items():
        places = [(found[name], y) for y, name in enumerate(names) if name in found]
        style = looks[row]
        axes.plot(
            [x for x, _ in places],
            [y for _, y in places],
            marker=style.shape,
            color=style.colour,
            linestyle="",
            markersize=0.65 * style.size,
            markeredgecolor="white",
            markeredgewidth=0.5,
            clip_on=False,
            zorder=3,
        )
    axes.set_yticks(range(len(names)), [label(name, 24) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, 100)
    axes.set_xticks(range(0, 101, 20))
    axes.grid(axis="x", color=LINE, linewidth=0.7)
    axes.tick_params(axis="x", labelcolor=GREY, labelsize=7)
