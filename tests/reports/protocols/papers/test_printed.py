from __future__ import annotations

from collections.abc import Callable
from statistics import fmean

import pytest

from clipprompt.datasets.classification.specifications import ELEVEN
from clipprompt.reports.multilabel.published import DATASETS, read_published
from clipprompt.reports.protocols.columns import SHARES
from clipprompt.reports.protocols.papers.printed import load_base_to_novel
from clipprompt.resources import resource

Rows = list[dict[str, str]]
TABLE_3, AVERAGES, HAND = "maple_table3_base_to_novel", "base_to_novel_averages_vit_b16", "coop_hand_prompts"
COLUMNS = ("base", "novel", "harmonic_mean")
FILES = sorted(path.stem for path in resource("configs/published").glob("*.csv"))


def harmonic(row: dict[str, str]) -> float:
    base, novel = float(row["base"]), float(row["novel"])
    return 2 * base * novel / (base + novel)


def _table_3(rows: Rows) -> None:
    assert {row["dataset"] for row in rows} == {"average", *ELEVEN}
    assert all(
        {row["method"] for row in rows if row["dataset"] == name} == {"CLIP", "CoOp", "CoCoOp", "MaPLe"}
        for name in ELEVEN
    )


def _averages(rows: Rows) -> None:
    assert {row["setting"] for row in rows} == {"inductive", "transductive"}
    assert {row["method"] for row in rows if row["setting"] == "transductive"} == {"PromptKD", "ATPrompt+PromptKD"}
    assert len({row["method"] for row in rows}) == len(rows)


def _hand(rows: Rows) -> None:
    assert {row["dataset"] for row in rows} == {"caltech101", "flowers102", "dtd", "eurosat"}
    learnt = [row for row in rows if row["prompt"] == "learnt, 16 contexts"]
    assert len(learnt) == 4
    for row in learnt:
        assert all(
            float(row["accuracy"]) >= float(other["accuracy"]) for other in rows if other["dataset"] == row["dataset"]
        )
    assert all("[CLASS]" in row["prompt"] for row in rows if row not in learnt)


def _tai_dpt(rows: Rows) -> None:
    by_row = {(row["method"], row["branch"]): float(row["voc2007"]) for row in rows}
    assert by_row["tai_dpt", "merged"] > by_row["tai_dpt", "global"] > by_row["zero_shot", "global"]


def _tai_dpt_3(rows: Rows) -> None:
    by_set = {name: {row["method"] for row in rows if row["dataset"] == name} for name in DATASETS}
    alone, together = "DualCoOp (reproduced)", "DualCoOp + TaI-DPT"
    four = {"SARB", "DualCoOp", alone, together}
    assert by_set == {"voc2007": four, "coco2014": four, "nuswide": {alone, together}}
    by_row = {(row["dataset"], row["method"]): [float(row[column]) for column in (*SHARES, "average")] for row in rows}
    for numbers in by_row.values():
        assert fmean(numbers[:-1]) == pytest.approx(numbers[-1], abs=0.06)
    for name in DATASETS:
        pairs = zip(by_row[name, together], by_row[name, alone], strict=True)
        assert all(more > less for more, less in pairs), "captions help at every share, on every set"


def _without_images(rows: Rows) -> None:
    assert len({(row["name"], row["backbone"]) for row in rows}) == len(rows)


def _study(methods: str, *, fgvc: bool = False) -> Callable[[Rows], None]:
    """Of Visual Prompt Tuning: each part of a file has these methods, ``full`` first, which wins against nothing."""
    n_sets = {**({"fgvc": 5} if fgvc else {}), "natural": 7, "specialized": 4, "structured": 8}

    def check(rows: Rows) -> None:
        parts: dict[str, Rows] = {}
        for row in rows:
            parts.setdefault(row.get("pretraining", row.get("backbone", "")), []).append(row)
        for part in parts.values():
            assert [row["method"] for row in part] == methods.split()
            assert all(row["total_params"] >= "1" for row in part)
            total = {row["method"]: float(row["total_params"]) for row in part}
            assert total["full"] == max(total.values())
            assert total["full"] == pytest.approx(sum(n_sets.values()), abs=0.1)
            assert total["linear"] <= min(total.values()) + 0.01
            for group, n in n_sets.items():
                assert part[0][f"{group}_wins"] == ""
                assert all(0 <= int(row[f"{group}_wins"]) <= n for row in part[1:])
                accuracy = {row["method"]: float(row[group if group == "fgvc" else f"vtab_{group}"]) for row in part}
                never = [row["method"] for row in part[1:] if row[f"{group}_wins"] == "0"]
                assert all(accuracy[name] < accuracy["full"] for name in never), "no win, so no better mean"

    return check


_BASELINES = "full linear partial-1 mlp-3"
INVARIANTS: dict[str, Callable[[Rows], None]] = {
    TABLE_3: _table_3,
    AVERAGES: _averages,
    HAND: _hand,
    "tai_dpt_table1": _tai_dpt,
    "tai_dpt_table3": _tai_dpt_3,
    "without_images": _without_images,
    "vpt_table1_vit_b16_in21k": _study(f"{_BASELINES} sidetune bias adapter vpt-shallow vpt-deep", fgvc=True),
    "vpt_table2_swin_b_in21k": _study("full linear mlp-3 partial-1 bias vpt-shallow vpt-deep"),
    "vpt_table4_mae_mocov3": _study("full linear partial-1 bias adapter vpt-shallow vpt-deep"),
    "vpt_table5_convnets": _study(f"{_BASELINES} bias vpt"),
}


def test_every_file_has_invariants() -> None:
    assert sorted(INVARIANTS) == FILES


@pytest.mark.parametrize("name", FILES)
def test_file_is_what_it_says(name: str) -> None:
    INVARIANTS[name](read_published(f"{name}.csv"))


@pytest.mark.parametrize("name", FILES)
def test_numbers_are_percent_and_no_row_comes_twice(name: str) -> None:
    rows = read_published(f"{name}.csv")
    cells = [cell for row in rows for key, cell in row.items() if not key.endswith(("_wins", "_scope", "extra_params"))]
    numbers = [float(cell) for cell in cells if cell.replace(".", "", 1).isdigit()]
    assert len(numbers) >= len(rows)
    assert all(1 < number <= 100 for number in numbers)
    assert len({tuple(row.values()) for row in rows}) == len(rows)


@pytest.mark.parametrize("name", FILES)
def test_readme_says_where_a_file_is_from(name: str) -> None:
    assert f"| `{name}.csv` |" in resource("configs/published/README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("method", ["CLIP", "CoOp", "CoCoOp", "MaPLe"])
@pytest.mark.parametrize("column", ["base", "novel"])
def test_table_3_averages_to_its_own_average_row(method: str, column: str) -> None:
    rows = {row["dataset"]: float(row[column]) for row in read_published(f"{TABLE_3}.csv") if row["method"] == method}
    printed = rows.pop("average")
    assert len(rows) == 11
    assert fmean(rows.values()) == pytest.approx(printed, abs=0.01)


@pytest.mark.parametrize("name", [TABLE_3, AVERAGES])
def test_harmonic_means_are_those_of_the_printed_means(name: str) -> None:
    for row in read_published(f"{name}.csv"):
        assert harmonic(row) == pytest.approx(float(row["harmonic_mean"]), abs=0.02), row


def test_averages_of_both_files_agree() -> None:
    printed = {row["method"]: row for row in read_published(f"{AVERAGES}.csv")}
    for row in read_published(f"{TABLE_3}.csv"):
        if row["dataset"] == "average":
            assert [row[column] for column in COLUMNS] == [printed[row["method"]][column] for column in COLUMNS]


def test_average_over_fewer_sets_is_that_of_table_3() -> None:
    (coop,) = [paper for paper in load_base_to_novel(("dtd", "eurosat")) if paper.method == "coop"]
    assert coop.numbers[None, "base"] == pytest.approx((79.44 + 92.19) / 2)
    assert coop.numbers[None, "novel"] == pytest.approx((41.18 + 54.74) / 2)
    assert coop.numbers[None, "hm"] == pytest.approx(2 * 85.815 * 47.96 / (85.815 + 47.96))
