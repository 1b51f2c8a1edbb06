from __future__ import annotations

from typing import Any

import pytest

from clipprompt.errors import UserError
from clipprompt.reports.multilabel.published import load_published
from clipprompt.reports.multilabel.summary import describe, summarise
from tests.reports.conftest import Make


def test_runs_that_differ_in_the_seed_alone_are_one_row(make_record: Make) -> None:
    (row,) = summarise([make_record(score=score, seed=seed) for seed, score in enumerate([0.5, 0.6, 0.7])])
    assert row.mean == pytest.approx(60.0)
    assert row.std == pytest.approx(10.0)  # sample standard deviation
    assert row.n_runs == 3
    assert row.average_precision == pytest.approx((50.0, 70.0))


@pytest.mark.parametrize(
    "other",
    [
        {"split_hash": "x"},
        {"class_hash": "x"},
        {"fingerprint": "x"},
        {"precision": "bf16"},
        {"branch": "local"},
        {"normalise": "image"},
        {"threshold": 0.3},
        {"dataset_options": {"difficult": "negative"}},
    ],
)
def test_what_is_not_the_same_measurement_is_never_averaged(make_record: Make, other: dict[str, Any]) -> None:
    assert [row.n_runs for row in summarise([make_record(), make_record(**other)])] == [1, 1]


def test_single_run_has_no_spread(make_record: Make) -> None:
    assert summarise([make_record()])[0].std is None


def test_rows_keep_their_order(make_record: Make) -> None:
    records = [make_record("b"), make_record("a"), make_record("b", seed=2)]
    assert [row.name for row in summarise(records)] == ["b", "a"]


def test_class_without_a_positive_stays_none(make_record: Make) -> None:
    assert summarise([make_record(average_precision=[None, 0.25])])[0].average_precision == (None, 25.0)


def test_published_numbers_are_the_papers() -> None:
    voc = load_published("voc2007")
    assert {key: entry.percent for key, entry in voc.items()} == {
        ("zero_shot", "global"): 76.2,
        ("zero_shot", "merged"): 77.3,
        ("tai_dpt", "global"): 86.0,
        ("tai_dpt", "merged"): 88.3,
    }
    assert load_published("nuswide")["tai_dpt", "merged"].percent == 46.5


def test_published_numbers_of_another_set_are_refused() -> None:
    with pytest.raises(UserError, match=r"'coco2013' \(did you mean 'coco2014'\?\)"):
        load_published("coco2013")


def test_published_number_stands_beside_its_row_and_never_beside_a_control(make_record: Make) -> None:
    rows = summarise([make_record(), make_record("untrained", control=True)], load_published("coco2014"))
    assert [row.published for row in rows[:2]] == [65.1, None]


def test_published_rows_without_ours_come_last(make_record: Make) -> None:
    rows = summarise([make_record()], load_published("coco2014"))
    assert [row.name for row in rows[1:]] == ["ZSCLIP (paper)", "ZSCLIP with the local branch (paper)", "TaI (paper)"]
    assert all(row.mean is None and row.n_runs == 0 for row in rows[1:])


def test_description_says_what_was_measured(make_record: Make) -> None:
    assert describe([make_record()]) == "photos, 9 images, 2 classes, RN50 (openai)"


def test_description_says_what_differs(make_record: Make) -> None:
    text = describe([make_record(), make_record(dataset="scenes", class_hash="x", pretrained=None)])
    assert text == "several: photos, scenes, 9 images, several class lists, RN50"


def test_description_says_that_scores_were_normalised(make_record: Make) -> None:
    assert describe([make_record(normalise="both")]).endswith("scores normalised per prompt and image")


def test_metrics_are_means_over_the_runs_in_percent(make_record: Make) -> None:
    records = [make_record(seed=s, at_top3={"CF1": 0.2 * s}, calibration_error=0.1) for s in (1, 2)]
    (row,) = summarise(records)
    assert row.metrics["CF1@3"] == pytest.approx(30.0)
    assert row.metrics["ECE"] == pytest.approx(10.0)
    assert row.metrics["CF1"] is None


@pytest.mark.parametrize(
    ("backbone", "names"),
    [
        ("ViT-B-16", ["ZS-CLIP, 80 templates, ViT-B/16", "TagCLIP, ViT-B/16", "BAC-GCN, ViT-B/16"]),
        ("ViT-L-14-336-quickgelu", ["SPARC, ViT-L/14-336"]),
        ("mini", []),
        (None, []),
    ],
)
def test_other_papers_are_added_for_the_same_backbone(backbone: str | None, names: list[str]) -> None:
    assert [entry.name for entry in load_published("coco2014", backbone).values()][4:] == names


def test_number_that_no_paper_printed_is_not_shown() -> None:
    names = {entry.name for entry in load_published("nuswide", "ViT-B-16").values()}
    assert "TagCLIP, ViT-B/16" not in names
    assert "BAC-GCN, ViT-B/16" in names
