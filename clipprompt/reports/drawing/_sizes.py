"""A panel of accuracy over how many numbers are learnt, with the names beside the points."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from clipprompt.reports.drawing._labels import HEIGHT, Box, along, around, dot, place_labels
from clipprompt.reports.drawing.figure import GREY, INK, LINE, SILVER
from clipprompt.reports.drawing.panel import LETTER, Panel, Style, even_ticks, label, room

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE, _LEFT, _RIGHT, _BOTTOM, _TOP = (4.8, 3.6), 0.5, 0.15, 0.45, 0.08
_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True)
class Sized:
    """A method: how many numbers it learns, and how well it does, in percent; ``std`` is None for a single run."""

    name: str
    n_numbers: float
    mean: float
    std: float | None = None

    @property
    def spread(self) -> float:
        """Half the length of the error bar."""
        return self.std or 0.0


def size_panel(title: str, methods: Sequence[Sized], looks: Mapping[str, Style]) -> Panel:
    """Accuracy over a logarithmic axis of numbers; what learns none is a dashed line from side to side.

    Args:
        title: of the panel, such as a group of sets.
        methods: at least one.
        looks: by method.
    """
    alt = "; ".join(f"{one.name}: {short_count(one.n_numbers)} numbers, {one.mean:.1f}" for one in methods)
    draw = partial(_draw, methods=methods, looks=looks)
    return Panel(title=title, alt=alt, draw=draw, size=_SIZE, left=_LEFT, right=_RIGHT, bottom=_BOTTOM)


def short_count(n: float) -> str:
    """Such as 12k or 86M."""
    for unit, sign in _UNITS:
        if n >= unit:
            return f"{n / unit:.3g}{sign}"
    return f"{n:g}"


def _draw(axes: Axes, methods: Sequence[Sized], looks: Mapping[str, Style]) -> None:
    sized, lines = ([one for one in methods if bool(one.n_numbers) == has] for has in (True, False))
    _limit(axes, methods)
    for one in lines:
        axes.axhline(one.mean, color=looks[one.name].colour, linestyle=(0, (4, 2)), linewidth=1.2, zorder=2)
    for one in sized:
        style = looks[one.name]
        axes.errorbar(
            one.n_numbers,
            one.mean,
            yerr=one.std,
            color=style.colour,
            marker=style.shape,
            markersize=0.8 * style.size,
            markeredgecolor="white",
            markeredgewidth=0.5,
            elinewidth=1.0,
            capsize=2.0,
            zorder=3,
        )
    even_ticks(axes.yaxis)
    axes.set_xlabel("numbers that are learnt for a set", fontsize=8, color=GREY, labelpad=3)
    axes.set_ylabel("accuracy, %", fontsize=8, color=GREY, labelpad=2)
    axes.grid(color=LINE, linewidth=0.7)
    _name(axes, sized, lines)


def _limit(axes: Axes, methods: Sequence[Sized]) -> None:
    counts = [one.n_numbers for one in methods if one.n_numbers] or [1.0]
    low, high = math.log10(min(counts)), math.log10(max(counts))
    air = max(0.12 * (high - low), 0.3)
    axes.set_xscale("log")
    axes.set_xlim(10 ** (low - air), 10 ** (high + 1.6 * air))
    ends = [one.mean + sign * one.spread for one in methods for sign in (1, -1)]
    space = max(0.1 * (max(ends) - min(ends)), (4.0 - (max(ends) - min(ends))) / 2)
    axes.set_ylim(min(ends) - space, max(ends) + space)
    ticks = [10.0**power for power in range(math.ceil(low - air), math.floor(high + 1.6 * air) + 1)]
    axes.set_xticks(ticks, [short_count(tick) for tick in ticks])
    axes.minorticks_off()


def _name(axes: Axes, sized: Sequence[Sized], lines: Sequence[Sized]) -> None:
    """Writes the names where they cover nothing, with a thin line to their point where that is far."""
    wide, high = _SIZE[0] - _LEFT - _RIGHT, _SIZE[1] - _BOTTOM - _TOP
    to_axes = axes.transData + axes.transAxes.inverted()

    def inches(x: float, y: float) -> tuple[float, float]:
        across, up = to_axes.transform((x, y))
        return float(across) * wide, float(up) * high

    paper, heights = Box(0, 0, wide, high), [inches(axes.get_xlim()[0], one.mean)[1] for one in lines]
    points = [inches(one.n_numbers, one.mean) for one in sized]
    bars = [(inches(one.n_numbers, one.mean - one.spread), inches(1, one.mean + one.spread)) for one in sized]
    obstacles = [Box(low[0] - 0.02, low[1], 0.04, top[1] - low[1]) for low, top in bars]
    obstacles += [*map(dot, points), *(Box(0, height - 0.02, wide, 0.04) for height in heights)]
    choices = [around(point, _width(one)) for point, one in zip(points, sized, strict=True)]
    choices += [along(height, _width(one), paper) for height, one in zip(heights, lines, strict=True)]
    for number, (one, placed) in enumerate(zip((*sized, *lines), place_labels(choices, paper, obstacles), strict=True)):
        x, y = placed.box.left, placed.box.bottom + HEIGHT / 2
        text = axes.text(x / wide, y / high, label(one.name), transform=axes.transAxes, fontsize=8, color=INK)
        text.set(verticalalignment="center", zorder=5)
        if placed.is_far:
            point = points[number]
            near = min(max(point[0], x), x + placed.box.width)
            ends = ([near / wide, point[0] / wide], [y / high, point[1] / high])
            axes.plot(*ends, transform=axes.transAxes, color=SILVER, linewidth=0.7, zorder=1)


def _width(one: Sized) -> float:
    """Inches that a name takes."""
    return 0.95 * room([label(one.name)]) + 0.5 * LETTER
