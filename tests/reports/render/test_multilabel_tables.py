"""Tables of sets with several classes a picture as text of every kind."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from clipprompt.reports.protocols.summary import summarise_protocols
from clipprompt.reports.render.table import render_tables, rich_tables
from tests.reports.multilabel_records import METHODS, RN101, SHARES, few_shot, partial, zero_shot_splits

Records = list[dict[str, Any]]
MANY = partial((*METHODS, "caption_dual", "dualcoop+tai_dpt+caption_dual"), ("voc2007", "coco2014"))
ALL = {"partial labels": MANY, "shots": few_shot(), "unseen classes": zero_shot_splits()}


def lines(records: Records, width: int = 80) -> list[str]:
    text = io.StringIO()
    Console(file=text, width=width).print(rich_tables(summarise_protocols(records)))
    return [line.rstrip() for line in text.getvalue().splitlines()]


def test_eleven_numbers_fit_eighty_columns_with_deviations_below() -> None:
    shown = lines(partial())
    assert shown[:8] == [
        "partial-label: mAP in percent, RN50 (openai), fp32, 224 px",
        "",
        "method                   0%  10%  20%  30%  40%  50%  60%  70%  80%  90% average",
        "─" * 80,
        "voc2007",
        "  zero_shot            60.0    –    –    –    –    –    –    –    –    –       –",
        "  tai_dpt              67.0    –    –    –    –    –    –    –    –    –       –",
        "                       ±1.0",
    ]
    assert "  dualcoop                – 72.5 73.0 73.5 74.0 74.5 75.0 75.5 76.0 76.5    74.5" in shown
    assert "  SARB ‡ (paper)          – 83.5 88.6 90.7 91.4 91.9 92.2 92.6 92.8 92.9    90.7" in shown


def test_deviations_stand_beside_where_there_is_room() -> None:
    (line,) = (line for line in lines(partial(), 200) if line.startswith("  tai_dpt"))
    assert line.split("  ")[-1].strip() == "–"
    assert "67.0 ± 1.0" in line


def test_long_ensembles_are_folded_behind_a_plus() -> None:
    shown = lines(MANY)
    first = next(number for number, line in enumerate(shown) if line.startswith("  dualcoop+tai_dpt+"))
    assert shown[first].split()[:2] == ["dualcoop+tai_dpt+", "–"]
    assert shown[first + 1].split()[:2] == ["caption_dual", "±1.0"]


@pytest.mark.parametrize("width", [60, 80, 132, 200])
@pytest.mark.parametrize("records", ALL.values(), ids=ALL)
def test_every_number_is_shown_and_no_line_is_wider(records: Records, width: int) -> None:
    tables = summarise_protocols(records)
    shown = lines(records, width)
    assert max(map(len, shown)) <= width
    text = "\n".join(line for line in shown if not re.match(r"dualcoop\+|(?:\w+\+)?\w+: ", line))
    for number in (number for table in tables for row in table.rows for number in row.numbers.values()):
        assert f"{number.mean:.1f}" in text


def test_measures_of_unseen_classes_are_named() -> None:
    text = "\n".join(lines(zero_shot_splits(), 132))
    assert re.search(r"\n +unseen\nmethod +unseen mAP +F1@3 +all mAP +all F1@3\n", text)
    assert text.startswith("multilabel-zero-shot: mAP and F1@3 in percent")
    assert "unseen: the others by themselves" in text


def test_csv_says_shares_of_labels_in_a_column_of_their_own() -> None:
    rows = list(csv.DictReader(io.StringIO(render_tables(summarise_protocols(partial()), "csv"))))
    keys = ("row", "dataset", "shots", "known", "metric", "mean", "std", "n_runs", "published", "differs")
    found = [tuple(row[key] for key in keys) for row in rows]
    assert found[0] == ("zero_shot", "voc2007", "", "0", "mAP", "60.000", "", "1", "", "")
    assert ("dualcoop", "voc2007", "", "30", "mAP", "73.500", "1.000", "3", "", "") in found
    assert ("dualcoop", "voc2007", "", "average", "mAP", "74.500", "1.000", "3", "", "") in found
    assert ("SARB ‡ (paper)", "voc2007", "", "10", "mAP", "", "", "", "83.5", "not comparable") in found
    assert {row["method"] for row in rows if row["published"]} == {
        *("sarb", "dualcoop", "dualcoop (reproduced)", "dualcoop+tai_dpt")
    }


def test_csv_says_of_every_number_whether_it_is_transductive() -> None:
    records = partial(("dualcoop+tai_dpt",), shares=(0.5,))
    records += partial(("dualcoop+tai_dpt",), shares=("single-positive",), setting="transductive")
    numbers = csv.DictReader(io.StringIO(render_tables(summarise_protocols(records), "csv")))
    assert {line["known"]: line["setting"] for line in numbers if line["mean"]} == {
        "50": "inductive",
        "single-positive": "transductive",
    }


def test_csv_of_what_compares_says_whether_it_differs() -> None:
    records = partial(("dualcoop",), shares=(0.1,), n_images=4952, **RN101)
    (row,) = csv.DictReader(
        line
        for line in render_tables(summarise_protocols(records), "csv").splitlines()
        if line.startswith(("table", "1,partial-label")) and "(paper)" not in line
    )
    assert (row["published"], row["differs"]) == ("90.3", "yes")


def test_csv_of_shots_has_them_in_their_column_and_of_unseen_classes_names_the_measure() -> None:
    text = render_tables(summarise_protocols([*few_shot(), *zero_shot_splits()]), "csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {(row["shots"], row["metric"]) for row in rows if row["table"] == "1"} == {
        (shots, "mAP") for shots in ("0", "1", "2", "4", "8", "16")
    }
    assert {row["metric"] for row in rows if row["table"] == "2"} == {
        *("unseen mAP", "unseen F1@3", "all mAP", "all F1@3")
    }


def test_markdown_has_a_column_to_each_share() -> None:
    shown = render_tables(summarise_protocols(partial()), "md").splitlines()
    assert shown[2] == "| set | method | 0% | 10% | 20% | 30% | 40% | 50% | 60% | 70% | 80% | 90% | average |"
    assert any(line.startswith("| voc2007 | *SARB ‡ (paper)* | – | 83.5 | 88.6 |") for line in shown)
    assert "- ‡: not comparable: theirs are of RN101 with the weights of openai at 448 px" in shown


def test_latex_has_no_sign_that_needs_another_font() -> None:
    text = render_tables(summarise_protocols([*MANY, *few_shot(), *zero_shot_splits()]), "latex")
    assert text.isascii()
    assert r"SARB $\ddagger$ (paper)" in text
    assert r"10\%" in text


def test_latex_titles_that_are_short_do_not_stand_on_end() -> None:
    text = render_tables(summarise_protocols(MANY), "latex")
    assert r"method & 0\% & 10\% &" in text
    assert "rotatebox" not in text


def test_latex_of_many_columns_has_deviations_below() -> None:
    rows = render_tables(summarise_protocols(partial(("dualcoop",), shares=SHARES)), "latex").splitlines()
    place = next(number for number, row in enumerate(rows) if row.startswith("dualcoop & 62.5 & 63.0 & "))
    assert rows[place].endswith(r"& 64.5 \\[-.4ex]")
    assert rows[place + 1].startswith(r" & {\tiny$\pm$\,1.0} & ")


def test_latex_float_counts_the_lines_of_deviations() -> None:
    floats = render_tables(summarise_protocols(MANY), "latex").split(r"\end{table*}")[:-1]
    assert [text.count(r"\begin{tabular}") for text in floats] == [2, 1]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not there")
def test_latex_compiles(tmp_path: Path) -> None:
    text = render_tables(summarise_protocols([*MANY, *few_shot(), *zero_shot_splits()]), "latex")
    head = r"\documentclass{article}\usepackage{booktabs,graphicx}\begin{document}"
    (tmp_path / "a.tex").write_text(f"{head}\n{text}\n\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "a.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
