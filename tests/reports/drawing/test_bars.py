from __future__ import annotations

import pytest
from matplotlib.axes import Axes

from clipprompt.reports.drawing._bars import Bar, bar_panels, upper_limit
from clipprompt.reports.drawing.figure import new_figure
from clipprompt.reports.drawing.panel import Panel, place, styles


def _axes(panel: Panel) -> Axes:
    figure = new_figure(*panel.size, layout=None)
    place(figure, panel, 0, 0)
    return figure.axes[0]


def _draw(*bars: Bar) -> Axes:
    (panel,) = bar_panels({"a set": bars}, styles([bar.name for bar in bars]))
    return _axes(panel)


def test_a_bar_is_as_long_as_its_number() -> None:
    axes = _draw(Bar("coop", 63.25), Bar("maple", 75.0))
    assert [bar.get_width() for bar in axes.patches] == [63.25, 75.0]
    assert [bar.get_x() for bar in axes.patches] == [0, 0]
    assert [text.get_text() for text in axes.texts] == ["63.2", "75.0"]


def test_an_error_bar_is_one_deviation_to_each_side() -> None:
    axes = _draw(Bar("coop", 60.0, 2.0))
    dark = axes.containers[-1].lines[2][0]  # type: ignore[attr-defined]
    assert dark.get_segments()[0][:, 0].tolist() == [58.0, 62.0]
    assert [text.get_text() for text in axes.texts] == ["60.0 ± 2.0"]


@pytest.mark.parametrize("std", [None, 0.0])
def test_one_run_has_no_error_bar_and_equal_runs_have_none_to_see(std: float | None) -> None:
    text = _draw(Bar("coop", 60.0, std)).texts[0].get_text()
    assert text == ("60.0" if std is None else "60.0 ± 0.0")


def test_a_published_number_is_a_mark_at_its_place() -> None:
    (mark,) = _draw(Bar("coop", 60.0, None, 71.66)).collections
    assert mark.get_offsets().tolist() == [[71.66, 0.0]]  # type: ignore[union-attr]


def test_what_was_not_run_is_said() -> None:
    axes = _draw(Bar("coop", None, None, 71.66), Bar("maple", 70.0))
    assert [text.get_text() for text in axes.texts] == ["not run", "70.0"]
    assert len(axes.patches) == 1


def test_panels_of_one_plot_share_scale_and_places() -> None:
    groups = {"a": [Bar("coop", 10.0)], "b": [Bar("a much longer name", 30.0, 1.0, flag=" ▲")]}
    panels = bar_panels(groups, styles(["coop", "a much longer name"]))
    assert len({(panel.left, panel.right, panel.size[0]) for panel in panels}) == 1
    assert {_axes(panel).get_xlim() for panel in panels} == {(0.0, 40.0)}


def test_an_error_bar_ends_inside() -> None:
    assert _draw(Bar("vpt", 54.7, 5.5)).get_xlim() == (0.0, 80.0)
    assert _draw(Bar("vpt", 99.0, 5.5)).get_xlim() == (0.0, 100.0)


@pytest.mark.parametrize(
    ("values", "limit"),
    [([3.0], 20), ([19.5], 40), ([None, 31.0], 40), ([58.3], 80), ([79.0, 12.0], 100), ([100.0], 100), ([], 100)],
)
def test_axes_end_at_round_numbers(values: list[float | None], limit: float) -> None:
    assert upper_limit(values) == limit


@pytest.mark.parametrize("n", [1, 4, 12])
def test_every_method_has_a_row(n: int) -> None:
    axes = _draw(*(Bar(f"method {k}", 50.0) for k in range(n)))
    assert [text.get_text() for text in axes.get_yticklabels()] == [f"method {k}" for k in range(n)]
    assert axes.get_ylim()[0] > axes.get_ylim()[1], "the first is at the top"
