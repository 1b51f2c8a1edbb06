from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import pytest

from clipprompt.datasets import open_image
from clipprompt.errors import UserError
from clipprompt.reports.drawing.plot import Plot
from clipprompt.reports.drawing.plots import protocol_plots, save_protocol_plots
from clipprompt.reports.protocols.papers.beside import find_published
from clipprompt.reports.protocols.rows import ProtocolTable
from clipprompt.reports.protocols.summary import summarise_protocols
from tests.reports.multilabel_records import few_shot, partial, zero_shot_splits
from tests.reports.protocol_records import both, record


def _table(*runs: list[dict[str, object]]) -> ProtocolTable:
    (table,) = summarise_protocols([record for run in runs for record in run])
    return table


def _plots(*runs: list[dict[str, object]]) -> list[Plot]:
    table = _table(*runs)
    return protocol_plots(table, find_published(table))


def _shots(method: str, dataset: str, accuracy: float, shots: int | None, **more: object) -> list[dict[str, object]]:
    learnt = {} if method == "zero_shot" else {"shots": shots, "draw_hash": f"{dataset} {shots} {more.get('seed', 1)}"}
    return [record(method, dataset, accuracy, "all", protocol="few-shot", **learnt, **more)]


SEEDS = [both("coop", name, 0.8 + seed / 100, 0.6, seed=seed) for name in ("dtd", "eurosat") for seed in (1, 2)]


def test_base_to_novel_has_bars_and_points() -> None:
    bars, points = _plots(*SEEDS, both("maple", "dtd", 0.8, 0.7), both("maple", "eurosat", 0.9, 0.7))
    assert (bars.name, points.name) == ("base-to-novel-harmonic-means", "base-to-novel-base-against-novel")
    assert [panel.title for panel in bars.panels] == ["average of 2 sets", "dtd †", "eurosat †"]
    assert [panel.title for panel in points.panels] == ["average of 2 sets", "Every set by itself"]
    assert [name for name, _ in points.keys] == ["coop", "maple"]
    assert "coop: base 81.5, novel 60.0" in points.panels[0].alt
    assert "one standard deviation over runs" in bars.caption


def test_bars_are_the_harmonic_means_of_the_table() -> None:
    bars, _ = _plots(both("coop", "own", 0.8, 0.6))
    assert [panel.alt for panel in bars.panels] == ["coop 68.6"]
    assert "deviation" not in bars.caption, "there is one run"


def test_printed_numbers_are_marked_where_they_differ() -> None:
    bars, _ = _plots(*(both("coop", "dtd", 0.5 + seed / 1000, 0.3, seed=seed) for seed in (1, 2, 3)))
    assert bars.panels[0].alt.endswith(" *")
    assert "what papers print" in bars.caption


def test_one_method_on_one_set_is_drawn() -> None:
    bars, points = _plots(both("coop", "dtd", 0.8, 0.6))
    assert [panel.title for panel in (*bars.panels, *points.panels)] == ["dtd †", "dtd †"]


def test_what_was_not_run_is_said() -> None:
    bars, points = _plots(both("coop", "dtd", 0.8, 0.6), both("maple", "eurosat", 0.8, 0.6))
    assert [panel.title for panel in bars.panels] == ["dtd †", "eurosat †"], "no set has numbers of both"
    assert bars.panels[0].alt.endswith("maple not run")
    assert [panel.title for panel in points.panels] == ["Every set by itself"]


def test_base_without_novel_is_no_harmonic_mean() -> None:
    (plot,) = _plots([record("coop", "dtd", 0.8, "base")])
    assert (plot.name, plot.title) == ("base-to-novel-base", "Accuracy on base classes, %")


def test_halves_that_never_meet_are_shown_by_themselves() -> None:
    plots = _plots([record("coop", "own", 0.8, "base")], [record("maple", "own", 0.7, "novel")])
    assert [plot.name for plot in plots] == ["base-to-novel-base", "base-to-novel-novel"]
    assert [plot.panels[0].alt for plot in plots] == ["coop 80.0; maple not run", "coop not run; maple 70.0"]


def test_papers_can_be_left_out(tmp_path: Path) -> None:
    table = _table(*SEEDS)
    kept, dropped = (
        save_protocol_plots([table], tmp_path / str(flag), "svg", published=flag)[0] for flag in (True, False)
    )
    assert len(kept.read_bytes()) > len(dropped.read_bytes())


def test_few_shot_curves_have_the_average_first_and_zero_shot_dashed() -> None:
    runs = [_shots("coop", name, 0.6 + k / 100, k, seed=s) for name in ("dtd", "own") for k in (1, 16) for s in (1, 2)]
    zero = [_shots("zero_shot", name, 0.5, None) for name in ("dtd", "own")]
    (plot,) = _plots(*runs, *zero)
    assert [panel.title for panel in plot.panels] == ["average of 2 sets", "dtd †", "own"]
    assert plot.panels[1].alt == "zero_shot: 50.0; coop: 1 shot 61.0 ± 0.0, 16 shots 76.0 ± 0.0"
    assert "Dashed" in plot.caption


def test_partial_labels_are_curves_over_shares_and_captions_are_dashed() -> None:
    (plot,) = _plots(partial(seeds=(1,), shares=(0.1, 0.5, None)))
    assert (plot.name, plot.title) == ("partial-label-curves", "mAP by known labels, %")
    assert [panel.alt for panel in plot.panels] == [
        "zero_shot: 60.0; tai_dpt: 66.0; dualcoop: 10% 71.5, 50% 73.5, 100% 71.0; "
        "dualcoop+tai_dpt: 10% 76.5, 50% 78.5, 100% 76.0"
    ]
    assert plot.caption == "Dashed: what learns from no labelled picture."


def test_single_positives_are_bars() -> None:
    curves, bars = _plots(partial(("dualcoop",), shares=(0.1, "single-positive")))
    assert "positive" not in curves.panels[0].alt
    assert (bars.name, bars.title) == ("partial-label-single-positive", "mAP, single positive, %")
    (alone,) = _plots(partial(("dualcoop",), shares=("single-positive",)))
    assert alone.name == "partial-label-single-positive"


def test_what_learnt_from_no_picture_stands_in_the_bars_of_single_positives() -> None:
    (bars,) = _plots(partial(("zero_shot", "tai_dpt", "dualcoop"), seeds=(1,), shares=("single-positive",)))
    assert bars.panels[0].alt == "zero_shot 60.0; tai_dpt 66.0; dualcoop 71.0"
    (nothing,) = _plots(partial(("zero_shot", "tai_dpt"), seeds=(1,)))
    assert nothing.panels


def test_shots_of_several_classes_a_picture_are_curves_with_captions_dashed() -> None:
    (plot,) = _plots(few_shot(datasets=("voc2007", "coco2014")))
    assert (plot.name, plot.title) == ("few-shot-multilabel-curves", "mAP by shots, %")
    assert [panel.title for panel in plot.panels] == ["average of 2 sets", "voc2007", "coco2014"]
    assert "; tai_dpt: 72.5 ± 0.7; dualcoop: 1 shot 68.5 ± 0.7, 2 shots" in plot.panels[1].alt
    assert "from captions" in plot.caption


def test_unseen_classes_are_bars_to_each_measure() -> None:
    found = _plots(zero_shot_splits())
    assert [plot.name.removeprefix("multilabel-zero-shot-") for plot in found] == [
        *("unseen-map", "unseen-f1-3", "all-map", "all-f1-3")
    ]
    assert found[1].title == "unseen F1@3, %"


@pytest.mark.parametrize("classes", [False, True])
def test_single_classes_are_drawn_on_request(tmp_path: Path, classes: bool) -> None:
    (table,) = summarise_protocols(few_shot())
    names = [path.name for path in save_protocol_plots([table], tmp_path, classes=classes)]
    assert names == ["few-shot-multilabel-curves.png", *(["few-shot-multilabel-classes.png"] if classes else [])]


@pytest.mark.parametrize("protocol", ["cross-dataset", "domain"])
def test_what_was_learnt_from_stands_first_and_out_of_the_average(protocol: str) -> None:
    names = ("imagenet_v2", "imagenet", "imagenet_r")
    more = {"protocol": protocol, "trained_on": "imagenet", "draw_hash": "d"}
    (plot,) = _plots([record("coop", name, 0.6, "all", **more) for name in names])
    assert [panel.title for panel in plot.panels] == [
        "average of 2 sets",
        "imagenet (source)",
        "imagenet_v2",
        "imagenet_r",
    ]
    assert plot.name == f"{protocol}-accuracy"


@pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_plots_are_files_of_equal_bytes(tmp_path: Path, ending: str, start: bytes) -> None:
    found = [save_protocol_plots([_table(*SEEDS)], tmp_path / name, ending) for name in ("one", "two")]
    for one, two in zip(*found, strict=True):
        assert one.read_bytes() == two.read_bytes()
        assert one.read_bytes().startswith(start)
        assert one.suffix == f".{ending}"


def test_files_of_several_tables_do_not_overwrite_each_other(tmp_path: Path) -> None:
    tables = [_table(both("coop", "dtd", 0.8, 0.6, backbone=name)) for name in ("RN50", "ViT-B-32")]
    assert len(set(save_protocol_plots(tables, tmp_path))) == 4 == len(list(tmp_path.iterdir()))


def test_an_unknown_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="its ending must be one of"):
        save_protocol_plots([_table(*SEEDS)], tmp_path, "jpeg")


@pytest.mark.parametrize(("n_methods", "n_sets"), [(1, 15), (12, 1), (12, 4)])
def test_many_methods_and_sets_are_drawn(tmp_path: Path, n_methods: int, n_sets: int) -> None:
    runs = [both(f"method {m}", f"a set {d}", 0.5, 0.4) for m in range(n_methods) for d in range(n_sets)]
    for path in save_protocol_plots([_table(*runs)], tmp_path):
        assert max(open_image(path).size) < 4000


def test_settings_of_matplotlib_stay_as_they_are_and_pyplot_is_not_needed(tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    save_protocol_plots([_table(*SEEDS)], tmp_path, "svg")
    assert dict(mpl.rcParams) == before
    code = """
import sys
import clipprompt.reports.drawing.plots
assert "matplotlib" not in sys.modules and "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
