from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes

from clipprompt.reports.drawing._sizes import Sized, short_count, size_panel
from clipprompt.reports.drawing.figure import new_figure
from clipprompt.reports.drawing.panel import Panel, place, styles
from clipprompt.reports.drawing.plots import protocol_plots, save_protocol_plots
from clipprompt.reports.protocols.papers.found import Papers
from clipprompt.reports.protocols.summary import summarise_protocols
from tests.reports.tuning_records import study, tuned

Records = list[dict[str, Any]]
SHARES = [
    tuned(method, "mini-objects", value + (share or 1) / 10 + seed / 100, seed, share=share)
    for method, value in (("full", 0.6), ("linear", 0.5))
    for share in (0.1, 0.5, None)
    for seed in (1, 2)
]


def plots_of(records: Records) -> dict[str, tuple[Panel, ...]]:
    (table,) = summarise_protocols(records)
    return {plot.name: plot.panels for plot in protocol_plots(table, Papers())}


def drawn(panel: Panel) -> Axes:
    figure = new_figure(*panel.size, layout=None)
    place(figure, panel, 0, 0)
    return figure.axes[0]


def test_groups_have_panels_and_so_have_sets_alone() -> None:
    panels = plots_of([*study(), *(tuned(name) for name in ("full", "linear", "vpt-deep"))])
    titles = [panel.title for panel in panels["visual-tuning-parameters"]]
    assert titles == ["FGVC, 5 sets", "Natural, 7 sets", "Specialized, 4 sets", "Structured, 8 sets", "mini-objects"]


def test_one_share_has_no_curves() -> None:
    assert list(plots_of(study())) == ["visual-tuning-parameters"]


def test_curves_of_a_set_are_over_its_pictures() -> None:
    axes = drawn(plots_of(SHARES)["visual-tuning-pictures"][0])
    assert [text.get_text() for text in axes.get_xticklabels()] == ["100", "500", "1,000"]
    assert axes.get_xlabel() == "training pictures"
    assert list(axes.lines[0].get_ydata()) == pytest.approx([62.5, 66.5, 71.5])


def test_curves_of_a_group_are_over_the_share() -> None:
    records = [tuned("linear", "fgvc-cub", 0.5, share=share) for share in (0.1, 0.5, None)]
    axes = drawn(plots_of(records)["visual-tuning-pictures"][0])
    assert [text.get_text() for text in axes.get_xticklabels()] == ["10", "50", "100"]
    assert axes.get_xlabel() == "training pictures, %"


def test_ticks_that_would_run_into_each_other_are_left_out() -> None:
    records = [tuned("linear", accuracy=0.5, share=share / 10) for share in range(1, 10)] + [tuned()]
    axes = drawn(plots_of(records)["visual-tuning-pictures"][0])
    labels = [text.get_text() for text in axes.get_xticklabels()]
    assert labels == ["100", "200", "300", "500", "700", "1,000"]


def test_points_stand_over_their_numbers_on_a_logarithmic_axis() -> None:
    names = ["linear", "full"]
    axes = drawn(size_panel("a", [Sized("linear", 2e3, 50, 1.0), Sized("full", 1e6, 70)], styles(names)))
    assert axes.get_xscale() == "log"
    points = [line.get_xydata()[0].tolist() for line in axes.lines if line.get_marker() in ("o", "s")]  # type: ignore[index]
    assert points == [[2e3, 50], [1e6, 70]]
    assert {text.get_text() for text in axes.texts} == set(names)


def test_what_learns_no_number_is_a_line() -> None:
    axes = drawn(
        size_panel("a", [Sized("tip-adapter", 0, 60), Sized("linear", 2e3, 50)], styles(["tip-adapter", "linear"]))
    )
    assert axes.lines[0].get_linestyle() == "--"
    assert list(axes.lines[0].get_ydata()) == [60, 60]


def test_only_what_learns_no_number_can_be_drawn() -> None:
    assert drawn(size_panel("a", [Sized("tip-adapter", 0, 60)], styles(["tip-adapter"]))).texts


@pytest.mark.parametrize(("n", "words"), [(0, "0"), (850, "850"), (12_300, "12.3k"), (86e6, "86M"), (1.2e9, "1.2G")])
def test_counts_are_short(n: float, words: str) -> None:
    assert short_count(n) == words


def test_plots_are_files(tmp_path: Path) -> None:
    paths = save_protocol_plots(summarise_protocols(SHARES), tmp_path)
    assert [path.name for path in paths] == ["visual-tuning-pictures.png", "visual-tuning-parameters.png"]
    assert all(path.stat().st_size > 5000 for path in paths)
