from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from clipprompt.reports.protocols.gather import Gathered
from clipprompt.reports.report import render_report
from tests.reports.tuning_records import SETS, TIMM, grid, study, tuned

Records = list[dict[str, Any]]
STUDY = study(**TIMM, **grid())
SHARES = [
    tuned(method, "mini-objects", value + (share or 1) / 10 + seed / 100, seed, share=share)
    for method, value in (("full", 0.6), ("linear", 0.5))
    for share in (0.1, 0.5, None)
    for seed in (1, 2)
]


def rendered(records: Records, format: str, published: bool = True) -> str:  # noqa: A002
    return render_report(Gathered(list(records), [str(n) for n, _ in enumerate(records)]), format, published)


def lines(records: Records, format: str = "table", published: bool = True) -> list[str]:  # noqa: A002
    return [line.rstrip() for line in rendered(records, format, published).splitlines()]


def test_table_of_the_study_fits_80_columns_with_methods_as_lines() -> None:
    shown = lines(STUDY, published=False)
    assert max(map(len, shown)) <= 80
    assert " ".join(shown[3].split()) == "method params tuned FGVC (5) Natural (7) (4) (8)"
    (vpt,) = [line for line in shown if line.startswith("vpt-deep  ") and "×" in line]
    assert " ".join(vpt.split()) == "vpt-deep 1.29× 1.2% 72.5±0.7 (2) 70.8±0.7 (2) 74.0±0.7 (2) 70.2±0.7 (2)"


def test_papers_lines_have_their_sizes_and_wins() -> None:
    (vpt,) = [line for line in lines(STUDY, "md") if line.startswith("| *vpt-deep (paper)*")]
    assert vpt == r"| *vpt-deep (paper)* | 1.18× | – | 89.1\* (4) | 78.5\* (6) | 82.4\* (2) | 55.0\* (8) |"


def test_sets_stand_below_their_groups() -> None:
    shown = lines(STUDY, "md")
    assert "| set | full | linear | vpt-deep |" in shown
    assert "| fgvc-cub | 71.5 ± 0.7 | 61.5 ± 0.7 | **81.5 ± 0.7** |" in shown


def test_one_set_without_a_group_is_one_table() -> None:
    shown = lines([one for one in SHARES if one["share"] is None], "md")
    assert [line for line in shown if line.startswith("| full")] == ["| full | 1.00× | 100.2% | **71.5 ± 0.7** |"]
    assert not any("by set" in line for line in shown)


def test_shares_are_columns_of_every_set() -> None:
    shown = lines(SHARES, "md")
    assert "| set | method | 10% | 50% | all pictures |" in shown
    assert "| mini-objects | linear | 52.5 ± 0.7 | 56.5 ± 0.7 | 61.5 ± 0.7 |" in shown


def test_caption_says_the_one_share() -> None:
    assert ", 10% of the training pictures, " in lines([one for one in SHARES if one["share"] == 0.1])[0]
    assert "of the training pictures" not in lines(SHARES)[0]


def test_note_says_what_share_the_first_table_is_of() -> None:
    shown = lines([one for one in SHARES if one["share"] is not None])
    assert "the first table is of 50% of the training pictures" in shown


def test_latex_has_counts_behind_their_numbers() -> None:
    text = rendered(STUDY, "latex", published=False)
    (vpt,) = [line for line in text.splitlines() if line.startswith("vpt-deep")]
    assert vpt.startswith(r"vpt-deep & 1.29$\times$ & 1.2\% & \textbf{72.50}\,{\tiny$\pm$\,0.71}{\tiny (2)} & ")
    assert text.count(r"\begin{table*}") == 2


def test_csv_has_groups_sizes_and_what_was_chosen() -> None:
    found = list(csv.DictReader(io.StringIO(rendered(STUDY, "csv"))))
    ours = {(row["row"], row["dataset"], row["metric"]): row for row in found}
    assert ours["vpt-deep", "natural", "wins"]["mean"] == "2.000"
    assert ours["vpt-deep", "natural", "wins"]["published"] == "6.0"
    assert ours["linear", "average", "total params"]["mean"] == "1.048"
    assert ours["linear", "fgvc-cub", "accuracy"]["chosen"] == "train.lr=0.1 train.weight_decay=0.0"
    assert {row["share"] for row in found if row["metric"] == "accuracy"} == {"100"}
    assert {row["dataset"] for row in found} == {*SETS, "average", *(name for names in SETS.values() for name in names)}


@pytest.mark.parametrize("records", [STUDY, SHARES], ids=["study", "shares"])
def test_records_come_back_each_once(records: Records) -> None:
    assert rendered([*records, *records], "jsonl").count("\n") == len(records)
