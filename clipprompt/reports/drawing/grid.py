"""Panels as one picture in a file: a grid, with a heading and the looks of the methods."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clipprompt.printable import printable
from clipprompt.reports.drawing.figure import INK, check_path, new_figure, plain, save_figure
from clipprompt.reports.drawing.panel import Panel, Style, label, place, room

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NUMBER = re.compile(r" (?=[\d.]+ %|%)")
"""Blanks around a number of percent, which stays with its name and its sign."""
_GAP, _TITLE, _LINE, _HEADING, _KEYS = 0.3, 0.3, 0.18, 0.32, 0.28


def save_panels(
    panels: Sequence[Panel],
    path: str | Path,
    *,
    title: str = "",
    keys: Sequence[tuple[str, Style]] = (),
) -> None:
    """Writes panels as one picture, in a grid.

    Args:
        panels: at least one.
        path: of the picture; its ending (png, pdf, svg) chooses the format.
        title: above all.
        keys: names with their looks, below the title.

    Raises:
        UserError: for another ending, or a place that cannot be written.
    """
    check_path(path)
    n_columns = columns(len(panels))
    width, height = (max(panel.size[axis] for panel in panels) for axis in (0, 1))
    wide = max(n_columns * (width + _GAP) + _GAP, 2 * _GAP + 0.115 * min(len(title), 60))
    rows_of_keys = _arrange(keys, wide - 2 * _GAP)
    top = _GAP + (_HEADING if title else 0.0) + _KEYS * len(rows_of_keys)
    over = _TITLE + _LINE * (max(len(title_lines(panel)) for panel in panels) - 1)
    high = top + -(-len(panels) // n_columns) * (height + over + _GAP)
    figure = new_figure(wide, high, layout=None)
    if title:
        heading = label(title, int(wide / 0.095))
        figure.text(_GAP / wide, 1 - 0.38 / high, heading, fontsize=13, color=INK, weight="bold")
    _draw_keys(figure, rows_of_keys, top - _KEYS * len(rows_of_keys))
    for index, panel in enumerate(panels):
        row, column = divmod(index, n_columns)
        y = top + row * (height + over + _GAP) + over
        x = _GAP + column * (width + _GAP)
        place(figure, panel, x, y)
        name = figure.text(x / wide, 1 - (y - 0.03) / high, "\n".join(title_lines(panel)), linespacing=1.15)
        name.set(fontsize=10.5, color=INK, weight="bold", verticalalignment="bottom")
    save_figure(figure, path)


def columns(n_panels: int) -> int:
    """Panels that stand beside each other."""
    return min(4 if n_panels > 6 else 3, n_panels)


def title_lines(panel: Panel) -> list[str]:
    """A panel's title in one line or two, broken between words; what is longer loses the middle of its second line."""
    n_letters = int(panel.size[0] / 0.09)
    text = _NUMBER.sub("\u00a0", printable(panel.title))
    lines = textwrap.wrap(text, n_letters, break_on_hyphens=False) or [""]
    first, *others = (line.replace("\u00a0", " ") for line in lines)
    return [plain(first), *([label(" ".join(others), n_letters)] if others else [])]


def _arrange(keys: Sequence[tuple[str, Style]], width: float) -> list[list[tuple[float, str, Style]]]:
    """Keys in rows of at most ``width`` inches, each with its place."""
    rows: list[list[tuple[float, str, Style]]] = []
    x = width
    for name, style in keys:
        length = 0.42 + 1.12 * room([name], 40)
        if x + length > width:
            rows.append([])
            x = 0.0
        rows[-1].append((x, name, style))
        x += length
    return rows


def _draw_keys(figure: Figure, rows: Sequence[Sequence[tuple[float, str, Style]]], top: float) -> None:
    from matplotlib.lines import Line2D

    wide, high = figure.get_size_inches()
    for number, row in enumerate(rows):
        y = 1 - (top + _KEYS * number + 0.12) / high
        for x, name, style in row:
            look = Line2D([(_GAP + x + 0.06) / wide], [y], marker=style.shape, color=style.colour, linestyle="")
            look.set_markersize(0.85 * style.size)
            figure.add_artist(look)
            figure.text((_GAP + x + 0.2) / wide, y, label(name, 40), fontsize=9.5, color=INK, va="center")
