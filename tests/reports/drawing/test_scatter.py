from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes

from clipprompt.reports.drawing._scatter import Spot, scatter_panel
from clipprompt.reports.drawing.figure import SILVER, new_figure
from clipprompt.reports.drawing.panel import place, styles


def _draw(*spots: Spot) -> Axes:
    panel = scatter_panel("average", spots, styles([spot.method for spot in spots]))
    figure = new_figure(*panel.size, layout=None)
    place(figure, panel, 0, 0)
    return figure.axes[0]


def _means(axes: Axes) -> dict[str, np.ndarray]:
    """The lines of equal harmonic mean by their names."""
    lines = [np.asarray(line.get_xydata()) for line in axes.lines if line.get_color() == SILVER]
    return dict(zip([text.get_text() for text in axes.texts], lines, strict=True))


def test_lines_have_the_harmonic_mean_that_they_are_named_by() -> None:
    means = _means(_draw(Spot("coop", "coop", 82.7, 63.2), Spot("maple", "maple", 82.3, 75.1)))
    assert {"HM 72", "HM 78"} <= means.keys()
    for name, line in means.items():
        found = 2 * line[:, 0] * line[:, 1] / line.sum(1)
        np.testing.assert_allclose(found, float(name.removeprefix("HM ")), rtol=1e-9)


@pytest.mark.parametrize(
    "spots",
    [
        [(80.0, 70.0, None, None)],
        [(80.0, 70.0, 0.0, 0.0)],
        [(100.0, 100.0, 0.0, 5.0)],
        [(0.0, 0.0, None, None)],
        [(0.0, 100.0, None, None), (100.0, 0.0, None, None)],
        [(46.1, 28.4, 4.0, 6.0), (29.7, 29.5, 0.0, 0.0)],
        [(20.0 + k, 90.0 - k, 1.0, 1.0) for k in range(60)],
    ],
    ids=["one", "no deviation", "all right", "all wrong", "corners", "mini", "sixty"],
)
def test_every_point_is_inside(spots: list[tuple[float, float, float | None, float | None]]) -> None:
    axes = _draw(*(Spot("coop", f"s{n}", *numbers) for n, numbers in enumerate(spots)))
    assert axes.get_xlim()[0] <= min(spot[0] for spot in spots) <= max(spot[0] for spot in spots) <= axes.get_xlim()[1]
    assert axes.get_ylim()[0] <= min(spot[1] for spot in spots) <= max(spot[1] for spot in spots) <= axes.get_ylim()[1]
    assert axes.get_xlim()[1] <= 101
    assert axes.get_ylim()[1] <= 101
    assert all(np.isfinite(line).all() for line in _means(axes).values())
    assert len(_means(axes)) <= 8


def test_the_range_is_never_so_small_that_noise_looks_like_a_result() -> None:
    axes = _draw(Spot("coop", "coop", 80.0, 70.0), Spot("maple", "maple", 80.1, 70.1))
    assert axes.get_xlim()[1] - axes.get_xlim()[0] == pytest.approx(6.0)


def test_error_bars_are_one_deviation_to_each_side() -> None:
    (container,) = _draw(Spot("coop", "coop", 80.0, 70.0, 1.0, 2.0)).containers
    across, up = (bars.get_segments()[0] for bars in container.lines[2])  # type: ignore[attr-defined]
    assert across[:, 0].tolist() == [79.0, 81.0]
    assert up[:, 1].tolist() == [68.0, 72.0]


def test_points_are_described_in_words() -> None:
    panel = scatter_panel("average", [Spot("coop", "coop, dtd", 79.44, 41.18)], {})
    assert panel.alt == "coop, dtd: base 79.4, novel 41.2"
