from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipprompt.errors import UserError
from clipprompt.evaluation.calibration_error import reliability
from clipprompt.reports.drawing.figure import new_figure
from clipprompt.reports.drawing.panel import place
from clipprompt.reports.drawing.reliability import ReliabilityPlot, plot_reliability, reliability_panel

RNG = np.random.default_rng(0)
PROBABILITIES = RNG.random((500, 3)) ** 2
TARGETS = (RNG.random((500, 3)) < PROBABILITIES).astype(np.int8)


def plot(title: str = "TaI-DPT") -> ReliabilityPlot:
    return ReliabilityPlot(title, "calibrated", reliability(PROBABILITIES, TARGETS))


def test_a_panel_says_what_its_bins_hold() -> None:
    panel, bins = reliability_panel(plot()), plot().bins
    assert panel.title == f"TaI-DPT, ECE {100 * bins.error:.1f} %"
    assert panel.alt.split("; ")[0] == (
        f"{bins.probabilities[0] / bins.counts[0]:.2f}: {bins.positives[0] / bins.counts[0]:.2f} of {bins.counts[0]}"
    )


def test_dots_stand_where_the_bins_are_and_bars_count_them() -> None:
    figure = new_figure(4, 5, layout=None)
    place(figure, reliability_panel(plot()), 0.0, 0.0)
    (axes,) = figure.axes
    diagonal, dots = axes.get_lines()
    assert np.array_equal(diagonal.get_xdata(), diagonal.get_ydata())
    bins = plot().bins
    assert np.allclose(dots.get_xdata(), bins.probabilities / bins.counts)
    assert np.allclose(dots.get_ydata(), bins.positives / bins.counts)
    (below,) = axes.child_axes
    assert [bar.get_height() for bar in below.patches] == bins.counts.tolist()


@pytest.mark.parametrize("named", [True, False])
def test_only_a_panel_at_the_left_names_its_vertical_axes(named: bool) -> None:
    figure = new_figure(4, 5, layout=None)
    place(figure, reliability_panel(plot(), named), 0.0, 0.0)
    (axes,) = figure.axes
    (below,) = axes.child_axes
    assert [bool(one.get_ylabel()) for one in (axes, below)] == [named, named]
    assert below.get_xlabel() == "mean probability (calibrated)"


def test_the_panels_of_the_left_column_name_their_axes(tmp_path: Path) -> None:
    plot_reliability([plot() for _ in range(6)], tmp_path / "r.svg", "photos")
    assert (tmp_path / "r.svg").read_text().count("<!-- share that is present") == 2


def test_empty_bins_have_no_dot() -> None:
    few = ReliabilityPlot("one", "given", reliability(np.array([[0.31, 0.32]]), np.array([[1, 0]])))
    figure = new_figure(4, 5, layout=None)
    place(figure, reliability_panel(few), 0.0, 0.0)
    assert len(figure.axes[0].get_lines()[1].get_xdata()) == 1


@pytest.mark.parametrize("n", [1, 6])
def test_a_picture_has_a_panel_for_each(tmp_path: Path, n: int) -> None:
    plot_reliability([plot(f"row {index}") for index in range(n)], tmp_path / "r.png", "photos")
    with Image.open(tmp_path / "r.png") as picture:
        assert picture.width / picture.height == pytest.approx({1: 0.8, 6: 1.15}[n], abs=0.1)


@pytest.mark.parametrize("ending", ["pdf", "svg"])
def test_other_formats_are_written(tmp_path: Path, ending: str) -> None:
    plot_reliability([plot("<b> $x$")], tmp_path / f"r.{ending}", "photos")
    assert (tmp_path / f"r.{ending}").stat().st_size > 1000


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="its ending must be one of png, pdf, svg"):
        plot_reliability([plot()], tmp_path / "r.jpg", "photos")
