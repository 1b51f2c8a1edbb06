from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from clipprompt.errors import UserError
from clipprompt.reports.multilabel.published import load_published
from clipprompt.reports.multilabel.tables import render_table
from tests.reports.conftest import Make

OTHERS = ("cf1_percent", "of1_percent", "cf1_at_3_percent", "of1_at_3_percent", "ece_percent")


def with_metrics(probabilities: str | None = "sigmoid") -> dict[str, Any]:
    f1 = {"CF1": 0.25, "OF1": 0.5}
    known = probabilities is not None
    return {
        "at_top3": {"CF1": 0.75, "OF1": 1.0},
        "at_threshold": f1 if known else None,
        "calibration_error": 0.125 if known else None,
        "threshold": 0.5,
        "probabilities": probabilities,
    }


def test_markdown_marks_the_best_row_and_gives_the_spread(make_record: Make) -> None:
    records = [make_record("TaI", 0.4, branch="global"), make_record(score=0.5), make_record(score=0.6, seed=2)]
    assert render_table(records, "md", load_published("voc2007")).splitlines() == [
        "mAP in percent: photos, 9 images, 2 classes, RN50 (openai)",
        "",
        "| row | mAP | runs | paper |",
        "|---|---:|---:|---:|",
        "| TaI | 40.0 | 1 | 86.0 |",
        "| TaI-DPT | **55.0 ± 7.1** | 2 | 88.3 |",
        "| ZSCLIP (paper) | – | – | 76.2 |",
        "| ZSCLIP with the local branch (paper) | – | – | 77.3 |",
        "",
        "paper: printed mAP with RN50, or the backbone that is named",
    ]


def test_markdown_escapes_what_would_end_a_cell(make_record: Make) -> None:
    assert "| a\\|b | **50.0** |" in render_table([make_record("a|b")], "md")


def test_csv_reads_back(make_record: Make) -> None:
    text = render_table(
        [make_record('say "a", b'), make_record("c", 0.25, control=True)], "csv", load_published("voc2007")
    )
    rows = list(csv.DictReader(io.StringIO(text)))
    assert rows[0] == {
        "row": 'say "a", b',
        "map_percent": "50.000",
        "std_percent": "",
        "runs": "1",
        "published_percent": "88.3",
        **dict.fromkeys(OTHERS, ""),
        "probabilities": "",
    }
    assert rows[1]["map_percent"] == "25.000"
    assert rows[1]["published_percent"] == ""


def test_json_is_the_records_in_fractions(make_record: Make) -> None:
    records = [make_record(average_precision=[None, 0.5])]
    assert json.loads(render_table(records, "json")) == records


def test_json_refuses_numbers_that_are_not_finite(make_record: Make) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        render_table([make_record(score=float("nan"))], "json")


def test_terminal_table_fits_80_columns(make_record: Make) -> None:
    records = [
        make_record("a prompt with a name that goes on and on, far beyond what is wise, to no end"),
        make_record(),
    ]
    lines = render_table(records, "table", load_published("voc2007")).splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.split() == ["TaI-DPT", "50.0", "88.3"] for line in lines)


def test_terminal_table_shows_square_brackets(make_record: Make) -> None:
    assert "[red]x[/red]" in render_table([make_record("[red]x[/red]", dataset="[bold]")], "table")


@pytest.mark.parametrize("name", ["markdown", "", "tabel"])
def test_unknown_format_is_refused_with_the_known_ones(make_record: Make, name: str) -> None:
    with pytest.raises(UserError, match="choose one of table, md, csv, json"):
        render_table([make_record()], name)


def test_all_metrics_stand_beside_map_with_their_meaning(make_record: Make) -> None:
    lines = render_table([make_record(**with_metrics())], "md", metrics="all").splitlines()
    assert "| row | mAP | CF1 | OF1 | CF1@3 | OF1@3 | ECE |" in lines
    assert "| TaI-DPT | **50.0** | 25.0 | 50.0 | 75.0 | 100.0 | 12.5 |" in lines
    assert "CF1, OF1: from probability 0.5 on (sigmoid of the logits)" in lines


@pytest.mark.parametrize(("name", "n_lines"), [("TaI-DPT, initialised from words", 1), ("a b " * 20, 3)])
def test_all_metrics_fit_80_columns(make_record: Make, name: str, n_lines: int) -> None:
    text = render_table([make_record(name, **with_metrics())], "table", load_published("voc2007"), "all")
    table = text.split("─\n")[1].split("ZSCLIP")[0].splitlines()
    assert max(map(len, text.splitlines())) <= 80
    assert len(table) == n_lines


def test_table_says_which_rows_are_calibrated(make_record: Make) -> None:
    records = [make_record("plain", **with_metrics()), make_record("mine", **with_metrics("calibrated"))]
    assert "calibrated for mine, otherwise sigmoid" in render_table(records, "md", metrics="all")


def test_numbers_that_are_not_there_are_no_columns(make_record: Make) -> None:
    text = render_table([make_record(**with_metrics(None))], "md", metrics="all")
    assert "| row | mAP | CF1@3 | OF1@3 |" in text
    assert "ECE" not in text


def test_csv_always_has_all_metrics(make_record: Make) -> None:
    (row,) = csv.DictReader(io.StringIO(render_table([make_record(**with_metrics())], "csv")))
    assert [row[name] for name in OTHERS] == ["25.000", "50.000", "75.000", "100.000", "12.500"]
    assert row["probabilities"] == "sigmoid"


def test_unknown_metrics_are_refused(make_record: Make) -> None:
    with pytest.raises(UserError, match=r"unknown metrics 'al'.*choose one of map, all"):
        render_table([make_record()], metrics="al")
