from __future__ import annotations

from typing import Any

import pytest
from matplotlib.axes import Axes

from clipprompt.reports.drawing.classes import class_plots
from clipprompt.reports.drawing.figure import new_figure
from clipprompt.reports.drawing.panel import Panel, place, styles
from clipprompt.reports.drawing.plot import Plot
from clipprompt.reports.protocols.summary import summarise_protocols
from tests.reports.multilabel_records import partial, record
from tests.reports.protocol_records import both


def plots(records: list[dict[str, Any]]) -> list[Plot]:
    (table,) = summarise_protocols(records)
    return class_plots(table, styles([row.label for row in table.rows]))


def draw(panel: Panel) -> Axes:
    figure = new_figure(*panel.size, layout=None)
    place(figure, panel, 0, 0)
    return figure.axes[0]


def test_every_method_has_a_mark_on_the_line_of_every_class() -> None:
    (plot,) = plots(partial(("tai_dpt", "dualcoop"), seeds=(1,)))
    (panel,) = plot.panels
    assert panel.title == "voc2007, 10% of labels known"
    assert panel.alt == "dog: tai_dpt 67.1, dualcoop 73.2; cat: tai_dpt 54.9, dualcoop 59.9"
    axes = draw(panel)
    assert [list(line.get_xdata()) for line in axes.lines] == [
        pytest.approx([67.1, 54.9]),
        pytest.approx([73.15, 59.85]),
    ]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["dog", "cat"]
    assert [name for name, _ in plot.keys] == ["tai_dpt", "dualcoop"]


def test_many_classes_are_several_panels_of_equal_height() -> None:
    names = [f"class {number}" for number in range(80)]
    values = {"classnames": names, "average_precision": [0.5] * 80, "n_positive": [1] * 80}
    (plot,) = plots([record(known=0.1, **values)])
    assert [panel.title.partition(", ")[2] for panel in plot.panels] == [
        "10% of labels known (1 to 40)",
        "10% of labels known (41 to 80)",
    ]
    assert len({panel.size for panel in plot.panels}) == 1


def test_sets_have_a_panel_each_and_one_class_a_picture_has_none() -> None:
    (plot,) = plots(partial(datasets=("voc2007", "coco2014"), shares=(0.1, 0.9)))
    assert [panel.title.partition(",")[0] for panel in plot.panels] == ["voc2007", "coco2014"]
    assert plots(both("coop", "dtd", 0.5, 0.5)) == []
