from __future__ import annotations

from typing import Any

import pytest

from clipprompt.errors import UserError
from clipprompt.reports.protocols._validation import check_record
from clipprompt.reports.protocols.groups import PARAMS, TUNED, groups_of, shared_sets, without_group
from clipprompt.reports.protocols.rows import MethodRow, ProtocolTable
from clipprompt.reports.protocols.summary import summarise_protocols
from tests.reports.tuning_records import SETS, grid, study, tuned

Records = list[dict[str, Any]]


def table_of(records: Records) -> ProtocolTable:
    for record in records:
        check_record(record, "here")
    (table,) = summarise_protocols(records)
    return table


def rows_of(table: ProtocolTable) -> dict[str, MethodRow]:
    return {row.label: row for row in table.rows}


def without(records: Records, method: str, dataset: str) -> Records:
    return [record for record in records if (record["method"], record["dataset"]) != (method, dataset)]


# ---- means and wins


def test_group_is_the_mean_of_its_sets_over_seeds() -> None:
    vpt = rows_of(table_of(study()))["vpt-deep"]
    assert vpt.numbers[None, "natural"].mean == pytest.approx((2 * 81.5 + 5 * 66.5) / 7)
    assert vpt.numbers[None, "natural"].std == pytest.approx(0.7071, abs=1e-3)
    assert vpt.numbers[None, "specialized"].mean == pytest.approx((2 * 81.5 + 2 * 66.5) / 4)


def test_wins_count_the_sets_above_full_and_full_has_none() -> None:
    rows = rows_of(table_of(study()))
    assert [rows["vpt-deep"].numbers[None, f"{group} wins"].mean for group in SETS] == [2, 2, 2, 2]
    assert [rows["linear"].numbers[None, f"{group} wins"].mean for group in SETS] == [0, 0, 0, 0]
    assert not any(column.endswith("wins") for _, column in rows["full"].numbers)


def test_equal_accuracy_is_no_win() -> None:
    rows = rows_of(table_of([tuned(method, "fgvc-cub", 0.5) for method in ("full", "linear")]))
    assert rows["linear"].numbers[None, "fgvc wins"].mean == 0


def test_without_full_there_are_no_wins_and_a_note_says_why() -> None:
    table = table_of(study(("linear", "vpt-deep")))
    assert not any(column.endswith("wins") for row in table.rows for _, column in row.numbers)
    assert "no sets that were won: there is no row of full" in table.notes


def test_set_that_a_row_lacks_enters_no_mean_of_its_group() -> None:
    table = table_of(without(study(), "linear", "fgvc-cub"))
    assert shared_sets(table.rows, "fgvc", "accuracy") == sorted(SETS["fgvc"][1:])
    assert rows_of(table)["vpt-deep"].numbers[None, "fgvc"].mean == pytest.approx((81.5 + 3 * 66.5) / 4)
    assert "not in the mean of FGVC, as not all rows have them: fgvc-cub" in table.notes


def test_row_without_any_set_of_a_group_takes_nothing_from_the_others() -> None:
    records = [r for r in study() if r["method"] != "linear" or r["group"] == "natural"]
    rows = rows_of(table_of(records))
    assert rows["vpt-deep"].numbers[None, "fgvc"].mean == pytest.approx((2 * 81.5 + 3 * 66.5) / 5)
    assert (None, "fgvc") not in rows["linear"].numbers


def test_sets_without_a_group_stand_alone() -> None:
    table = table_of([tuned("linear", "mini-objects"), tuned("linear", "fgvc-cub")])
    assert groups_of(table) == ["fgvc"]
    assert without_group(table) == ["mini-objects"]


# ---- sizes


@pytest.mark.parametrize(
    ("method", "total"),
    [("linear", 1 + 24 * 0.002), ("vpt-deep", 1 + 24 * 0.012), ("full", 24 * 1.002)],
    ids=["linear shares the backbone", "prompts do", "full keeps one for each set"],
)
def test_total_params_are_of_all_sets_in_backbones(method: str, total: float) -> None:
    rows = rows_of(table_of(study()))
    assert rows[method].numbers[None, PARAMS].mean == pytest.approx(total)


def test_total_params_are_of_the_sets_that_all_rows_have() -> None:
    table = table_of(without(study(), "full", "fgvc-cub"))
    assert rows_of(table)["linear"].numbers[None, PARAMS].mean == pytest.approx(1 + 23 * 0.002)
    assert any("learnt of the 23 of 24 sets that all rows have" in note for note in table.notes)


def test_tuned_is_the_share_that_one_set_learns() -> None:
    assert rows_of(table_of(study()))["vpt-deep"].numbers[None, TUNED].mean == pytest.approx(1.2)


# ---- rows, shares and grids


def test_methods_stand_in_the_order_of_the_study() -> None:
    names = ["clip-lora", "vpt-deep", "partial-4", "mlp-3", "zero_shot", "partial-1", "full", "linear", "vpt-shallow"]
    table = table_of([tuned(name) for name in names])
    order = ["zero_shot", "full", "linear", "partial-1", "partial-4", "mlp-3", "vpt-shallow", "vpt-deep", "clip-lora"]
    assert [row.label for row in table.rows] == order


def test_settings_that_a_grid_chose_by_set_make_no_rows() -> None:
    records = [tuned("linear", name, **grid(lr)) for name, lr in (("fgvc-cub", 0.1), ("fgvc-cars", 1.0))]
    table = table_of(records)
    assert [row.label for row in table.rows] == ["linear"]
    assert "lr and weight_decay: the best of 2 on val of each set, with seed 1" in table.notes
    assert not any("train.lr is" in note for note in table.notes)


def test_one_template_for_all_sets_is_no_difference_where_it_is_also_a_sets_own() -> None:
    records = study()
    for record in records:
        record["options"] = {**record["options"], "learner.templates": ["a photo of a {}."]}
    assert not any("templates" in note for note in table_of(records).notes)


def test_pictures_that_the_study_crops_by_set_make_no_rows() -> None:
    records = study(("full", "linear"))
    for record in records:
        record["options"]["data.augment"] = "crop_flip" if record["group"] == "fgvc" else None
    assert list(rows_of(table_of(records))) == ["full", "linear"]


def test_one_set_with_two_rates_is_two_rows() -> None:
    table = table_of([tuned("linear", **grid(lr)) for lr in (0.1, 1.0)])
    assert [row.label for row in table.rows] == ["linear, lr=0.1", "linear, lr=1"]


def test_rows_without_a_grid_are_named() -> None:
    table = table_of([tuned("linear", **grid()), tuned("bias")])
    assert "settings as given, not chosen on val (bias)" in table.notes


def test_shares_are_columns_and_groups_are_of_the_largest() -> None:
    shares = {0.1: 0.3, 0.5: 0.5, None: 0.7}
    table = table_of([tuned("linear", "fgvc-cub", value, share=share) for share, value in shares.items()])
    assert table.columns == ("10", "50", "accuracy")
    assert rows_of(table)["linear"].numbers[None, "fgvc"].mean == pytest.approx(70)
    assert rows_of(table)["linear"].numbers["fgvc-cub", "10"].mean == pytest.approx(30)


def test_records_before_adamw_compare_with_those_of_sgd() -> None:
    old, new = {"train.lr": 0.1}, {"train.lr": 0.1, "train.optimizer": "sgd"}
    table = table_of([tuned("linear", seed=1, options=old), tuned("linear", seed=2, options=new)])
    assert [row.label for row in table.rows] == ["linear"]


@pytest.mark.parametrize(("learner", "is_control"), [("tip_adapter", False), ("linear", True)])
def test_no_epochs_are_a_control_unless_the_set_is_held(learner: str, is_control: bool) -> None:
    (row,) = table_of([tuned("x", learner=learner, options={"train.epochs": 0})]).rows
    assert row.is_control == is_control


# ---- records that are refused


def _with_grid(**more: Any) -> dict[str, Any]:
    return {**grid()["grid"], **more}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"share": 1.5}, "share is 1.5, but it should be less than or equal to 1"),
        ({"group": "vtab"}, "group is 'vtab', but it should be 'fgvc', 'natural', 'specialized' or 'structured'"),
        ({"n_parameters": -1}, "n_parameters is -1, but it should be greater than or equal to 0"),
        ({"backbone_parameters": 0}, "backbone_parameters is 0, but it should be greater than or equal to 1"),
        ({"n_train": 0}, "n_train is 0, but trained_on is 'mini-objects'"),
        ({"trained_on": None, "share": 0.5}, "share is 0.5, but no picture was learnt from"),
        ({"grid": _with_grid(accuracy=0.9)}, "the accuracy of grid is 0.9, but the best of its points is 0.75"),
        ({"grid": _with_grid(chosen={"train.lr": 7})}, "what grid has chosen is none of its points: {'train.lr': 7}"),
        ({"grid": _with_grid(points=[])}, "grid.points is [], but it should have at least 1 item"),
        ({"grid": {"chosen": {}}}, "key 'grid.accuracy' is missing"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value.partition(",")[0],
)
def test_record_that_cannot_be_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as error:
        check_record({**tuned(), **change}, "a.jsonl, line 3")
    assert str(error.value).startswith("a.jsonl, line 3: ")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("key", ["learner", "group", "n_parameters", "backbone_parameters", "n_train", "share", "grid"])
def test_key_that_is_missing_is_named(key: str) -> None:
    record = tuned()
    del record[key]
    with pytest.raises(UserError, match=f"key '{key}' is missing"):
        check_record(record, "here")
