"""A panel of horizontal bars with error bars: one bar to a method, so that names of any length stand beside theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from clipprompt.reports.drawing.figure import GREY, INK, LINE
from clipprompt.reports.drawing.panel import LETTER, Panel, Style, label, room

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW, _LENGTH = 0.24, 1.9


@dataclass(frozen=True)
class Bar:
    """One bar. Numbers are in percent.

    Attributes:
        name: beside the bar.
        value: its length; None leaves the place empty, for what was not run.
        std: half the length of the error bar; None for a single run.
        published: what a paper prints, as a mark.
        flag: behind the number, such as a sign that paper and run differ.
    """

    name: str
    value: float | None
    std: float | None = None
    published: float | None = None
    flag: str = ""

    @property
    def end(self) -> float | None:
        """Where the bar with its error bar ends."""
        return None if self.value is None else self.value + (self.std or 0.0)


def bar_panels(groups: Mapping[str, Sequence[Bar]], looks: Mapping[str, Style]) -> list[Panel]:
    """A panel for each group of bars, one below the other, from zero, with their numbers at the right.

    Args:
        groups: by the title of their panel, such as a data set; bars from above.
        looks: by the names of the bars.
    """
    bars = [bar for group in groups.values() for bar in group]
    left = room([bar.name for bar in bars]) + 0.12
    right = LETTER * max((len(_number(bar)) for bar in bars), default=0) + 0.1
    limit = upper_limit([number for bar in bars for number in (bar.end, bar.published)])
    return [
        Panel(
            title=title,
            alt="; ".join(f"{bar.name} {_number(bar)}" for bar in group),
            draw=partial(_draw_bars, bars=group, looks=looks, limit=limit),
            size=(left + _LENGTH + right, _ROW * max(len(group), 2) + 0.3),
            left=left,
            right=right,
            bottom=0.22,
        )
        for title, group in groups.items()
    ]


def upper_limit(values: Sequence[float | None]) -> float:
    """The end of an axis of percent that bars of these lengths share: 20, 40, 60, 80 or 100."""
    highest = max((value for value in values if value is not None), default=100.0)
    return next((limit for limit in (20.0, 40.0, 60.0, 80.0) if highest <= 0.97 * limit), 100.0)


def _number(bar: Bar) -> str:
    if bar.value is None:
        return "not run"
    return f"{bar.value:.1f}" + (f" ± {bar.std:.1f}" if bar.std is not None else "") + bar.flag


def _draw_bars(axes: Axes, bars: Sequence[Bar], looks: Mapping[str, Style], limit: float) -> None:
    for y, bar in enumerate(bars):
        _draw_bar(axes, y, bar, looks[bar.name])
        number = label(_number(bar))
        axes.text(1.03, y, number, transform=axes.get_yaxis_transform(), fontsize=8, color=INK, va="center")
    axes.set_yticks(range(len(bars)), [label(bar.name) for bar in bars])
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.set_xlim(0, limit)
    axes.set_xticks([limit * part / 4 for part in range(5)])
    axes.grid(axis="x", color=LINE, linewidth=0.7)
    axes.tick_params(axis="x", labelcolor=GREY, labelsize=7)


def _draw_bar(axes: Axes, y: int, bar: Bar, style: Style) -> None:
    if bar.value is not None:
        axes.barh(y, bar.value, height=0.66, color=style.colour, zorder=2)
    if bar.value is not None and bar.std is not None:
        # The part inside the bar is light on its colour, the part outside is dark on the paper.
        axes.errorbar(bar.value, y, xerr=bar.std, color="white", elinewidth=2.6, zorder=3)
        axes.errorbar(bar.value, y, xerr=bar.std, color=INK, elinewidth=1.0, capsize=2, capthick=1.0, zorder=4)
    if bar.published is not None:
        axes.scatter([bar.published], [y], marker="D", s=20, color="white", edgecolor=INK, linewidth=1.0, zorder=5)
