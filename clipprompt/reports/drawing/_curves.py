"""A panel of curves over shots, or over the share of known labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clipprompt.reports.drawing.figure import GREY, LINE
from clipprompt.reports.drawing.panel import LETTER, Panel, Style, even_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Dot:
    """One place on a curve, in percent; ``std`` is None for a single run, ``amount`` for what has none."""

    amount: float | None
    mean: float
    std: float | None = None


@dataclass(frozen=True)
class Scale:
    """What curves are over.

    Attributes:
        words: what there is more of to the right: shots, or known labels.
        across: label of that axis.
        up: label of the other.
        is_log: equal factors in equal steps; otherwise percent.
        unit: what there is one of, where it is no percent.
    """

    words: str = "shots"
    across: str = "shots"
    up: str = "accuracy, %"
    is_log: bool = True
    unit: str = "shot"

    def say(self, amount: float) -> str:
        """An amount in words."""
        return f"{self.tick(amount)} {self.unit}{'s' if amount > 1 else ''}" if self.is_log else f"{amount:g}%"

    def tick(self, amount: float) -> str:
        """An amount below the axis."""
        return f"{amount:,.0f}" if self.is_log else f"{amount:g}"


SHOTS = Scale()
_SIZE, _LEFT, _RIGHT = (3.2, 2.5), 0.5, 0.1


def curve_panel(
    title: str, curves: Mapping[str, Sequence[Dot]], looks: Mapping[str, Style], scale: Scale = SHOTS
) -> Panel:
    """Accuracy or mAP over an axis of powers of two, or of percent.

    What has no amount, such as zero-shot, is a dashed line from side to side, with the method's shape at its ends.

    Args:
        title: of the panel, such as a data set.
        curves: by method.
        looks: by method.
        scale: of the amounts.
    """
    places = sorted({dot.amount for dots in curves.values() for dot in dots if dot.amount})

    def draw(axes: Axes) -> None:
        for name, dots in curves.items():
            _draw_curve(axes, dots, looks[name])
        if places and scale.is_log:
            axes.set_xscale("log", base=2)
            axes.set_xlim(places[0] / 2**0.35, places[-1] * 2**0.35)
        elif places:
            axes.set_xlim(places[0] - 4, places[-1] + 4)
        ticks = _apart(axes, places, scale)
        axes.set_xticks(ticks, [scale.tick(place) for place in ticks])
        axes.minorticks_off()
        axes.margins(y=0.08)
        _widen(axes)
        even_ticks(axes.yaxis)
        axes.set_xlabel(scale.across, fontsize=8, color=GREY, labelpad=1)
        axes.set_ylabel(scale.up, fontsize=8, color=GREY, labelpad=2)
        axes.grid(color=LINE, linewidth=0.7)

    alt = "; ".join(f"{name}: {', '.join(_words(dot, scale) for dot in dots)}" for name, dots in curves.items())
    return Panel(title=title, alt=alt, draw=draw, size=_SIZE, left=_LEFT, right=_RIGHT, bottom=0.4)


def _apart(axes: Axes, places: Sequence[float], scale: Scale) -> list[float]:
    """The places whose ticks do not run into the next one's, from the right."""
    if len(places) < 2:
        return [*places]
    low, high = (_along(scale, end) for end in axes.get_xlim())
    inches = (_SIZE[0] - _LEFT - _RIGHT) / (high - low)
    kept = list[float]()
    for place in reversed(places):
        needed = LETTER * (len(scale.tick(place)) + 1)
        if not kept or (_along(scale, kept[-1]) - _along(scale, place)) * inches >= needed:
            kept.append(place)
    return kept[::-1]


def _along(scale: Scale, amount: float) -> float:
    """How far along the axis an amount stands, in units of its own."""
    return math.log2(amount) if scale.is_log else amount


def _draw_curve(axes: Axes, dots: Sequence[Dot], style: Style) -> None:
    for dot in dots:
        if not dot.amount:
            axes.axhline(
                dot.mean,
                color=style.colour,
                linestyle=(0, (4, 2)),
                linewidth=1.4,
                marker=style.shape,
                markersize=0.6 * style.size,
                markeredgecolor="white",
                markeredgewidth=0.5,
                clip_on=False,
                zorder=2,
            )
    found = sorted((dot.amount, dot.mean, dot.std or 0.0) for dot in dots if dot.amount)
    if found:
        amounts, means, stds = zip(*found, strict=True)
        axes.errorbar(
            amounts,
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


def _words(dot: Dot, scale: Scale) -> str:
    amount = f"{scale.say(dot.amount)} " if dot.amount else ""
    return f"{amount}{dot.mean:.1f}" + (f" ± {dot.std:.1f}" if dot.std is not None else "")
