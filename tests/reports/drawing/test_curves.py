from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes

from clipprompt.reports.drawing._curves import SHOTS as BY_SHOTS
from clipprompt.reports.drawing._curves import Dot, Scale, curve_panel
from clipprompt.reports.drawing.figure import new_figure
from clipprompt.reports.drawing.panel import place, styles

SHOTS = (1, 2, 4, 8, 16)


OF_LABELS = Scale("known labels", "labels known, %", "mAP, %", is_log=False)


def _draw(curves: dict[str, list[Dot]], scale: Scale = BY_SHOTS) -> Axes:
    panel = curve_panel("a set", curves, styles(list(curves)), scale)
    figure = new_figure(*panel.size, layout=None)
    place(figure, panel, 0, 0)
    return figure.axes[0]


def test_shots_are_evenly_spaced_powers_of_two() -> None:
    axes = _draw({"coop": [Dot(shots, 60.0 + shots, 1.0) for shots in SHOTS]})
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "2", "4", "8", "16"]
    places = [axes.transData.transform((shots, 60))[0] for shots in SHOTS]
    assert np.diff(places) == pytest.approx(np.full(4, places[1] - places[0]))


def test_shares_of_labels_are_evenly_spaced_percent() -> None:
    axes = _draw({"dualcoop": [Dot(ten, 60.0 + ten / 10, 1.0) for ten in range(10, 100, 10)]}, OF_LABELS)
    assert [text.get_text() for text in axes.get_xticklabels()] == [str(ten) for ten in range(10, 100, 10)]
    places = [axes.transData.transform((ten, 60))[0] for ten in range(10, 100, 10)]
    assert np.diff(places) == pytest.approx(np.full(8, places[1] - places[0]))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("labels known, %", "mAP, %")


def test_dots_are_drawn_by_their_number_of_shots() -> None:
    line = _draw({"coop": [Dot(16, 80.0), Dot(1, 60.0), Dot(4, 70.0)]}).lines[0]
    assert list(line.get_xdata()) == [1, 4, 16]
    assert list(line.get_ydata()) == [60, 70, 80]


def test_error_bars_are_one_deviation_to_each_side() -> None:
    axes = _draw({"coop": [Dot(1, 60.0, 2.0), Dot(2, 65.0, None)]})
    segments = axes.containers[0].lines[2][0].get_segments()  # type: ignore[attr-defined]
    assert [part[:, 1].tolist() for part in segments] == [[58.0, 62.0], [65.0, 65.0]]


def test_what_learns_nothing_is_a_line_from_side_to_side() -> None:
    axes = _draw({"zero_shot": [Dot(None, 66.0)], "coop": [Dot(1, 60.0), Dot(16, 80.0)]})
    assert list(axes.lines[0].get_xdata()) == [0, 1]  # of the axes
    assert list(axes.lines[0].get_ydata()) == [66.0, 66.0]
    assert axes.lines[0].get_marker() == styles(["zero_shot"])["zero_shot"].shape, "two of them are told by their ends"


@pytest.mark.parametrize(
    "curves",
    [{"coop": [Dot(16, 70.0, 0.0)]}, {"zero_shot": [Dot(None, 70.0)]}, {"coop": [Dot(1, 100.0), Dot(2, 100.0)]}, {}],
    ids=["one dot", "no shots", "all right", "nothing"],
)
def test_little_is_drawn_without_a_mountain_range(curves: dict[str, list[Dot]]) -> None:
    low, high = _draw(curves).get_ylim()
    assert high - low >= (1 if not curves else 2.9)
    assert high <= 101


def test_a_curve_is_described_in_words() -> None:
    panel = curve_panel("x", {"zero_shot": [Dot(None, 66.0)], "coop": [Dot(1, 60.04, 1.25), Dot(2, 65.0)]}, {})
    assert panel.alt == "zero_shot: 66.0; coop: 1 shot 60.0 ± 1.2, 2 shots 65.0"


def test_a_share_is_described_in_percent() -> None:
    panel = curve_panel("x", {"dualcoop": [Dot(12.5, 60.0), Dot(100, 70.0)]}, {}, OF_LABELS)
    assert panel.alt == "dualcoop: 12.5% 60.0, 100% 70.0"
