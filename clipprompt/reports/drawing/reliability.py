"""Reliability plots: how often probabilities come true, over what they say (Guo et al. 2017, arXiv 1706.04599)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from clipprompt.evaluation.calibration_error import Reliability
from clipprompt.reports.drawing.figure import BLUE, GREY, INK, LIGHT_BLUE, LINE
from clipprompt.reports.drawing.grid import columns, save_panels
from clipprompt.reports.drawing.panel import Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = npt.NDArray[np.float64]
_Z = 1.96
_TICKS = (0, 0.2, 0.4, 0.6, 0.8, 1)


@dataclass(frozen=True)
class ReliabilityPlot:
    """What one panel shows.

    Attributes:
        title: of the panel, without the error.
        kind: where the probabilities come from, for the axis.
        bins: of all known pairs.
    """

    title: str
    kind: str
    bins: Reliability


def plot_reliability(plots: Sequence[ReliabilityPlot], path: str | Path, title: str) -> None:
    """Draws one panel for each, with the expected calibration error in its title.

    Args:
        plots: at least one.
        path: of the picture; its ending (png, pdf, svg) chooses the format.
        title: above all, such as what the samples are.

    Raises:
        UserError: for another ending, or a place that cannot be written.
    """
    first = range(0, len(plots), columns(len(plots)))
    save_panels([reliability_panel(plot, index in first) for index, plot in enumerate(plots)], path, title=title)


def reliability_panel(plot: ReliabilityPlot, names_axis: bool = True) -> Panel:
    """The share of the present ones over the mean probability of each bin; below, how many pairs a bin has.

    Args:
        plot: what is shown.
        names_axis: write what the vertical axes are; beside another panel that says so they need not.
    """
    counts, positives, sums = plot.bins
    some = counts > 0
    means, shares = sums[some] / counts[some], positives[some] / counts[some]

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        axes.fill_between(means, *_intervals(positives[some], counts[some]), color=LIGHT_BLUE, alpha=0.5, linewidth=0)
        axes.plot(means, shares, color=BLUE, linewidth=1.2, marker="o", markersize=4.5, zorder=3, clip_on=False)
        axes.set(xlim=(0, 1), ylim=(0, 1), xticks=_TICKS, yticks=_TICKS)
        axes.set_xticklabels([])
        axes.grid(color=LINE, linewidth=0.7)
        below = axes.inset_axes((0, -0.33, 1, 0.25))
        _draw_counts(below, counts, plot.kind)
        if names_axis:
            axes.set_ylabel("share that is present (shaded: 95 % interval)", fontsize=8, color=GREY, labelpad=2)
            below.set_ylabel("pairs", fontsize=8, color=GREY, labelpad=2)

    alt = "; ".join(
        f"{mean:.2f}: {share:.2f} of {n:,}" for mean, share, n in zip(means, shares, counts[some], strict=True)
    )
    return Panel(
        f"{plot.title}, ECE {100 * plot.bins.error:.1f} %", alt, draw, (3.7, 4.5), left=0.5, right=0.1, bottom=1.32
    )


def _intervals(positives: Floats, counts: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Wilson's interval of each share, as if all pairs were independent; with few pairs it is wide."""
    share, room = positives / counts, _Z**2 / counts
    middle = (share + room / 2) / (1 + room)
    half = _Z * np.sqrt(share * (1 - share) / counts + room / counts / 4) / (1 + room)
    return middle - half, middle + half


def _draw_counts(axes: Axes, counts: npt.NDArray[np.int64], kind: str) -> None:
    """Most pairs lie in the first bin, so that their numbers need a scale of powers of ten."""
    edges = np.linspace(0, 1, len(counts) + 1)
    axes.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=LIGHT_BLUE, edgecolor="white", linewidth=0.8)
    axes.set_yscale("log")
    axes.set(xlim=(0, 1), ylim=(0.7, 2 * counts.max()), xticks=_TICKS)
    powers = [10**power for power in range(0, int(np.log10(counts.max())) + 1, 2)]
    axes.set_yticks(powers, [f"{power:,}" for power in powers])
    axes.minorticks_off()
    axes.tick_params(axis="both", length=0, labelsize=8, labelcolor=INK)
    axes.set_axisbelow(True)
    axes.grid(axis="y", color=LINE, linewidth=0.7)
    axes.patch.set_visible(False)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_xlabel(f"mean probability ({kind})", fontsize=8, color=GREY, labelpad=2)
