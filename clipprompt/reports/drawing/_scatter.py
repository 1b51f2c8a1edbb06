"""A panel of base against novel accuracy, with lines of equal harmonic mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clipprompt.evaluation.accuracy import harmonic_mean
from clipprompt.reports.drawing.figure import GREY, LINE, SILVER
from clipprompt.reports.drawing.panel import Panel, Style, even_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STEPS = (1, 2, 5, 10)


@dataclass(frozen=True)
class Spot:
    """One point, in percent. ``method`` chooses its look, ``name`` is what it is called in words."""

    method: str
    name: str
    base: float
    novel: float
    base_std: float | None = None
    novel_std: float | None = None


def scatter_panel(title: str, spots: Sequence[Spot], looks: Mapping[str, Style]) -> Panel:
    """Novel over base accuracy: the higher and the further to the right, the better.

    Args:
        title: of the panel.
        spots: at least one.
        looks: by method.
    """

    def draw(axes: Axes) -> None:
        base_range = _range([(spot.base, spot.base_std) for spot in spots])
        novel_range = _range([(spot.novel, spot.novel_std) for spot in spots])
        axes.set(xlim=base_range, ylim=novel_range)
        _draw_means(axes, base_range, novel_range)
        for spot in spots:
            _draw_spot(axes, spot, looks[spot.method], is_small=len(spots) > 16)
        even_ticks(axes.xaxis)
        even_ticks(axes.yaxis)
        axes.set_xlabel("base classes, accuracy in %", fontsize=8, color=GREY, labelpad=2)
        axes.set_ylabel("novel classes, accuracy in %", fontsize=8, color=GREY, labelpad=2)
        axes.grid(color=LINE, linewidth=0.6)

    alt = "; ".join(f"{spot.name}: base {spot.base:.1f}, novel {spot.novel:.1f}" for spot in spots)
    return Panel(title=title, alt=alt, draw=draw, size=(4.6, 4.0), left=0.52, right=0.42, bottom=0.42)


def _range(values: Sequence[tuple[float, float | None]]) -> tuple[float, float]:
    """The range of an axis: all values with their error bars, some air, and never less than six percent."""
    low = min(value - (std or 0.0) for value, std in values)
    high = max(value + (std or 0.0) for value, std in values)
    air = max(0.07 * (high - low), (6.0 - (high - low)) / 2)
    return max(low - air, -1.0), min(high + air, 101.0)


def _draw_spot(axes: Axes, spot: Spot, style: Style, *, is_small: bool) -> None:
    """Of many points the error bars are faint, so that the points can be seen."""
    drawn = axes.errorbar(
        spot.base,
        spot.novel,
        xerr=spot.base_std,
        yerr=spot.novel_std,
        marker=style.shape,
        color=style.colour,
        markersize=style.size * (0.7 if is_small else 1.0),
        markeredgecolor="white",
        markeredgewidth=0.6,
        elinewidth=0.5 if is_small else 1.0,
        capsize=0.0 if is_small else 2.0,
        zorder=4,
    )
    for bars in drawn.lines[2]:
        bars.set_alpha(0.4 if is_small else 1.0)


def _draw_means(axes: Axes, base_range: tuple[float, float], novel_range: tuple[float, float]) -> None:
    """Lines on which the harmonic mean h of base b is the same: novel = h b / (2 b - h)."""
    lowest, highest = (harmonic_mean(max(b, 0.0), max(n, 0.0)) for b, n in zip(base_range, novel_range, strict=True))
    for level in _levels(lowest, highest):
        start = max(base_range[0], 0.505 * level)  # at half of h the line rises without end
        base = np.linspace(start, base_range[1], 200)
        novel = level * base / (2 * base - level)
        inside = (novel > novel_range[0]) & (novel < novel_range[1])
        if not inside.any():
            continue
        axes.plot(base[inside], novel[inside], color=SILVER, linewidth=0.8, linestyle=(0, (5, 3)), zorder=1)
        end = base[inside][-1], novel[inside][-1]
        above = "center" if end[0] == base[-1] else "bottom"
        axes.annotate(f"HM {level}", end, (3, 0), textcoords="offset points", fontsize=7, color=GREY, va=above)


def _levels(low: float, high: float) -> range:
    """Round numbers between two harmonic means, at most seven."""
    step = next((step for step in _STEPS if (high - low) / step <= 7), 20)
    return range(int(low // step + 1) * step, min(int(high) + 1, 100), step)
