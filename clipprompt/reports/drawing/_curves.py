"""A panel of curves over shots, as few-shot results are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clipprompt.reports.drawing.figure import GREY, LINE
from clipprompt.reports.drawing.panel import Panel, Style, even_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Dot:
    """One place on a curve, in percent; ``std`` is None for a single run, ``shots`` for all pictures or for none."""

    shots: int | None
    mean: float
    std: float | None = None


def curve_panel(title: str, curves: Mapping[str, Sequence[Dot]], looks: Mapping[str, Style]) -> Panel:
    """Accuracy over shots on an axis of powers of two.

    What has no number of shots, such as zero-shot, is a dashed line from side to side.

    Args:
        title: of the panel, such as a data set.
        curves: by method.
        looks: by method.
    """
    places = sorted({dot.shots for dots in curves.values() for dot in dots if dot.shots})

    def draw(axes: Axes) -> None:
        for name, dots in curves.items():
            _draw_curve(axes, dots, looks[name])
        if places:
            axes.set_xscale("log", base=2)
            axes.set_xlim(places[0] / 2**0.35, places[-1] * 2**0.35)
        axes.set_xticks(places, [str(place) for place in places])
        axes.minorticks_off()
        axes.margins(y=0.08)
        _widen(axes)
        even_ticks(axes.yaxis)
        axes.set_xlabel("shots", fontsize=8, color=GREY, labelpad=1)
        axes.set_ylabel("accuracy, %", fontsize=8, color=GREY, labelpad=2)
        axes.grid(color=LINE, linewidth=0.7)

    alt = "; ".join(f"{name}: {', '.join(map(_words, dots))}" for name, dots in curves.items())
    return Panel(title=title, alt=alt, draw=draw, size=(3.2, 2.5), left=0.5, bottom=0.4)


def _draw_curve(axes: Axes, dots: Sequence[Dot], style: Style) -> None:
    for dot in dots:
        if not dot.shots:
            axes.axhline(dot.mean, color=style.colour, linestyle=(0, (4, 2)), linewidth=1.4, zorder=2)
    found = sorted((dot.shots, dot.mean, dot.std or 0.0) for dot in dots if dot.shots)
    if found:
        shots, means, stds = zip(*found, strict=True)
        axes.errorbar(
            shots,
            means,
            yerr=stds,
            color=style.colour,
            linewidth=1.5,
            marker=style.shape,
            markersize=0.6 * style.size,
            markeredgecolor="white",
            markeredgewidth=0.5,
            elinewidth=1.0,
            capsize=2.0,
            zorder=3,
        )


def _widen(axes: Axes) -> None:
    """At least four percent from below to above, so that a flat curve does not look like a mountain range."""
    low, high = axes.get_ylim()
    lack = max(4.0 - (high - low), 0.0)
    axes.set_ylim(low - lack / 2, min(high + lack / 2, 101.0))


def _words(dot: Dot) -> str:
    shots = f"{dot.shots} shot{'s' if dot.shots > 1 else ''} " if dot.shots else ""
    return f"{shots}{dot.mean:.1f}" + (f" ± {dot.std:.1f}" if dot.std is not None else "")
