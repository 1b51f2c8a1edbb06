"""Tables of sets with several classes a picture: what stands in which column and row, and what is said below."""

from __future__ import annotations

import random
from typing import Any

import pytest

from clipprompt.errors import UserError
from clipprompt.learners import learner_class, list_learners
from clipprompt.reports.protocols._variants import OF_CAPTIONS
from clipprompt.reports.protocols.class_precision import class_tables
from clipprompt.reports.protocols.comparable import distinct_records
from clipprompt.reports.protocols.rows import MethodRow, ProtocolTable
from clipprompt.reports.protocols.summary import summarise_protocols
from tests.reports.multilabel_records import SHARES, few_shot, partial, record, zero_shot_splits
from tests.reports.protocol_records import both

Records = list[dict[str, Any]]
ENSEMBLE = "dualcoop+tai_dpt"
EVERYTHING = [*partial(), *few_shot(), *zero_shot_splits()]


def one_table(records: Records) -> ProtocolTable:
    (table,) = summarise_protocols(records)
    return table


def rows_of(records: Records) -> dict[str, MethodRow]:
    return {row.label: row for row in one_table(records).rows}


# ---- columns


def test_shares_of_labels_are_columns_with_their_average_behind() -> None:
    table = one_table(partial())
    assert table.columns == ("0", *(str(ten) for ten in range(10, 100, 10)), "average")
    assert {column for _, column in rows_of(partial())["tai_dpt"].numbers} == {"0"}


def test_average_over_shares_is_of_means_and_its_deviation_of_the_averages_of_single_runs() -> None:
    precisions = {(known, seed): 0.4 + known / 2 + (0.02 if seed == 2 else 0) for known in SHARES for seed in (1, 2)}
    records = [record("dualcoop", precision=p, known=known, seed=seed) for (known, seed), p in precisions.items()]
    number = rows_of(records)["dualcoop"].numbers["voc2007", "average"]
    assert number.mean == pytest.approx(66.0)
    assert list(number.values.values()) == pytest.approx([65.0, 67.0])
    assert number.std == pytest.approx(2**0.5)


@pytest.mark.parametrize("lacking", SHARES)
def test_there_is_no_average_unless_all_nine_shares_are_there(lacking: float) -> None:
    records = partial(("dualcoop",), shares=[known for known in SHARES if known != lacking])
    assert "average" not in one_table(records).columns
    assert "average" not in {column for _, column in rows_of(records)["dualcoop"].numbers}


def test_a_row_that_lacks_a_share_has_no_average_beside_one_that_has() -> None:
    found = rows_of(partial(("dualcoop",)) + partial(("caption_dual",), shares=(0.1, 0.9), learns_from="both"))
    assert ("voc2007", "average") in found["dualcoop"].numbers
    assert ("voc2007", "average") not in found["caption_dual (captions + images)"].numbers


def test_other_shares_and_kinds_of_labels_have_columns_too() -> None:
    records = partial(("dualcoop",), shares=(0.125, 0.05, "single-positive", None, 0.5))
    assert one_table(records).columns == ("5", "12.5", "50", "all", "single-positive")


def test_shots_are_columns_and_captions_have_none() -> None:
    table = one_table([*few_shot(), record(protocol="few-shot-multilabel", known=None)])
    assert table.columns == ("0", "1", "2", "4", "8", "16", "all")
    assert {column for _, column in table.rows[1].numbers} == {"0"}
    assert table.rows[1].label == "tai_dpt"


def test_unseen_and_all_classes_have_mean_average_precision_and_f1() -> None:
    table = one_table(zero_shot_splits())
    assert table.columns == ("unseen mAP", "unseen F1@3", "all mAP", "all F1@3")
    numbers = {column: number.mean for (_, column), number in table.rows[0].numbers.items()}
    assert numbers == pytest.approx({"unseen mAP": 50, "unseen F1@3": 40, "all mAP": 60, "all F1@3": 40})


def test_seen_classes_come_first_where_they_are_tested() -> None:
    seen = record(protocol="multilabel-zero-shot", subset="base", tested_subset="base", dataset="coco2014")
    assert one_table([*zero_shot_splits(("dualcoop",)), seen]).columns[:2] == ("seen mAP", "seen F1@3")


def test_average_over_sets_is_of_both_sets() -> None:
    (row,) = one_table(partial(("dualcoop",), ("voc2007",)) + partial(("dualcoop",), ("nuswide",))).rows
    assert row.numbers[None, "average"].mean == pytest.approx(row.numbers["voc2007", "average"].mean)
    assert one_table(partial(datasets=("nuswide", "own", "coco2014", "voc2007"))).datasets == (
        "voc2007",
        "coco2014",
        "nuswide",
        "own",
    )


# ---- rows


def test_rows_have_the_order_of_publication_and_ensembles_are_last() -> None:
    methods = ("dualcoop+tai_dpt", "dualcoop", "mine", "tai_dpt", "zero_shot")
    assert list(rows_of(partial(methods))) == ["zero_shot", "tai_dpt", "dualcoop", "mine", "dualcoop+tai_dpt"]


def test_sources_are_rows_and_the_usual_one_goes_without_saying() -> None:
    records = partial(("tai_dpt",))
    records += [one for source in ("images", "both") for one in partial(("tai_dpt",), learns_from=source)]
    assert list(rows_of(records)) == ["tai_dpt", "tai_dpt (images)", "tai_dpt (captions + images)"]
    assert list(rows_of(partial(("dualcoop",)) + partial(("dualcoop",), learns_from="both"))) == [
        "dualcoop",
        "dualcoop (captions + images)",
    ]


def test_usual_sources_are_those_of_the_learners() -> None:
    assert {name for name in list_learners() if learner_class(name).trains_on == "captions"} == set(OF_CAPTIONS)


def test_settings_tell_rows_of_one_source_apart() -> None:
    records = partial(("dualcoop",)) + partial(("dualcoop",), options={"learner.n_ctx": 4, "train.epochs": 50})
    assert list(rows_of(records)) == ["dualcoop, n_ctx=4", "dualcoop, n_ctx=16"]


@pytest.mark.parametrize("name", ["n_images", "n_captions", "keep_empty", "labels", "templates", "skip_missing"])
def test_seeds_that_saw_other_data_are_not_averaged(name: str) -> None:
    records = partial(("dualcoop",), seeds=(1,), options={f"data.{name}": 100})
    records += partial(("dualcoop",), seeds=(2,), options={f"data.{name}": 300})
    assert list(rows_of(records)) == [f"dualcoop, {name}=100", f"dualcoop, {name}=300"]


@pytest.mark.parametrize("name", ["train.epochs", "train.lr", "train.batch_size", "learner.n_ctx"])
def test_seeds_of_an_ensemble_whose_members_had_other_settings_are_not_averaged(name: str) -> None:
    options = [{f"dualcoop: {name}": value, "tai_dpt: train.epochs": 6} for value in (1, 2)]
    records = [one for seed in (1, 2) for one in partial((ENSEMBLE,), seeds=(seed,), options=options[seed - 1])]
    short = name.rpartition(".")[2]
    assert list(rows_of(records)) == [f"{ENSEMBLE}, {short}=1", f"{ENSEMBLE}, {short}=2"]


def test_members_selected_by_the_kind_of_labels_make_no_rows_of_an_ensemble() -> None:
    records = partial((ENSEMBLE,), shares=(0.1, 0.5), options={"dualcoop: train.select": "val_map"})
    records += partial((ENSEMBLE,), shares=("single-positive",), options={"dualcoop: train.select": "last"})
    assert list(rows_of(records)) == [ENSEMBLE]


def test_what_the_kind_of_labels_decides_makes_no_rows() -> None:
    last = {"selection": "last", "options": {"train.select": "last"}}
    records = partial(("dualcoop",), shares=(0.1, 0.5), options={"train.select": "val_map"})
    records += partial(("dualcoop",), shares=("single-positive",), **last)
    assert list(rows_of(records)) == ["dualcoop"]
    assert (
        "epoch that was kept: last (dualcoop: single positive); val_map on 10% held out of the training pictures "
        "(dualcoop: 10% 50%)"
    ) in one_table(records).notes
    again = records + partial(("dualcoop",), shares=(0.1,), **last)
    assert list(rows_of(again)) == [
        "dualcoop, selection=last, select=last",
        "dualcoop, selection=val_map on 10% held out of the training pictures, select=val_map",
    ]


@pytest.mark.parametrize("key", ["train.lr", "train.epochs", "train.batch_size"])
def test_settings_of_sets_are_one_row(key: str) -> None:
    by_set = partial(("dualcoop",), ("voc2007",), options={key: 1}) + partial(
        ("dualcoop",), ("coco2014",), options={key: 2}
    )
    assert list(rows_of(by_set)) == ["dualcoop"]


def test_corpora_of_sets_are_one_row_and_two_of_one_set_are_two() -> None:
    by_set = partial(("tai_dpt",), ("voc2007",), corpus="a") + partial(("tai_dpt",), ("coco2014",), corpus="b")
    assert list(rows_of(by_set)) == ["tai_dpt"]
    assert 'tai_dpt: captions is "a" on voc2007, otherwise "b"' in one_table(by_set).notes
    again = by_set + partial(("tai_dpt",), ("voc2007",), corpus="b")
    assert list(rows_of(again)) == ["tai_dpt, captions=a", "tai_dpt, captions=b"]


def test_transductive_ensembles_say_so() -> None:
    records = partial(("dualcoop+tai_dpt",), setting="transductive")
    assert list(rows_of(records)) == ["dualcoop+tai_dpt (transductive)"]


def test_ensembles_of_single_positives_stand_in_the_row_of_shares_and_a_note_names_their_column() -> None:
    equal = {"setting": "transductive", "weights_by": "equal: no member held pictures out"}
    records = partial((ENSEMBLE,), shares=(0.1, 0.5)) + partial((ENSEMBLE,), shares=("single-positive",), **equal)
    (row,) = one_table(records).rows
    assert (row.label, row.setting) == (ENSEMBLE, "inductive")
    assert ("voc2007", "single-positive") in row.numbers
    assert (
        f"{ENSEMBLE}: 0.50 of dualcoop, 0.50 of tai_dpt (best mAP on voc2007:train); single positive: 0.50 of "
        "dualcoop, 0.50 of tai_dpt (equal: no member held pictures out), scaled by the tested scores (transductive)"
    ) in one_table(records).notes


def test_both_settings_of_one_column_are_two_rows() -> None:
    records = partial((ENSEMBLE,), shares=(0.1,)) + partial((ENSEMBLE,), shares=(0.1,), setting="transductive")
    assert list(rows_of(records)) == [ENSEMBLE, f"{ENSEMBLE} (transductive)"]


# ---- what compares


def test_order_of_the_records_does_not_matter() -> None:
    shuffled = list(EVERYTHING)
    for seed in range(3):
        random.Random(seed).shuffle(shuffled)
        assert summarise_protocols(shuffled) == summarise_protocols(EVERYTHING)


def test_merged_parts_are_the_whole_and_every_share_is_a_run_of_its_own() -> None:
    parts = [EVERYTHING[number::3] for number in range(3)]
    assert distinct_records([*parts[2], *parts[0], *parts[1], *parts[0]]) == distinct_records(EVERYTHING)
    assert len(distinct_records(EVERYTHING)) == len(EVERYTHING)


@pytest.mark.parametrize("more", [{"learns_from": "both"}, {"known": 0.2}, {"branch": "global"}], ids=str)
def test_what_tells_runs_apart_is_not_one_run(more: dict[str, Any]) -> None:
    records = [record("dualcoop", known=0.1), record("dualcoop", **{"known": 0.1, **more})]
    assert len(distinct_records(records)) == 2


def test_a_run_with_two_results_is_refused_and_both_places_are_named() -> None:
    records = [record(precision=0.5, known=0.1), record(precision=0.6, known=0.1)]
    with pytest.raises(UserError) as error:
        distinct_records(records, ["a.jsonl, line 1", "b.jsonl, line 7"])
    assert str(error.value) == (
        "a.jsonl, line 1 and b.jsonl, line 7 are the same run (dualcoop on voc2007, all classes, known 0.1, seed 1) "
        "with mAP 0.5 and 0.6: keep one"
    )


@pytest.mark.parametrize("more", [{"dataset_options": {"difficult": "negative"}}, {"split_hash": "others"}], ids=str)
def test_other_labels_of_the_same_pictures_are_another_table(more: dict[str, Any]) -> None:
    tables = summarise_protocols(partial(("dualcoop",)) + partial(("dualcoop",), **more))
    assert len(tables) == 2


def test_one_class_and_several_classes_a_picture_are_tables_of_their_own() -> None:
    tables = summarise_protocols([*EVERYTHING, *both("coop", "dtd", 0.5, 0.6)])
    assert [table.protocol for table in tables] == [
        *("base-to-novel", "partial-label", "few-shot-multilabel", "multilabel-zero-shot")
    ]


# ---- notes


def test_weights_of_ensembles_are_a_range_over_runs() -> None:
    records = [
        record("dualcoop+tai_dpt", known=0.1, seed=seed, weights=[weight, 1 - weight])
        for seed, weight in ((1, 0.55), (2, 0.7), (3, 0.6))
    ]
    assert (
        "dualcoop+tai_dpt: 0.55 to 0.70 of dualcoop, 0.30 to 0.45 of tai_dpt (best mAP on voc2007:train)"
        in one_table(records).notes
    )


def test_the_rule_of_several_sets_is_said_once() -> None:
    records = partial(("dualcoop+tai_dpt",), ("voc2007", "coco2014"))
    (note,) = (note for note in one_table(records).notes if "of tai_dpt" in note)
    assert note.endswith("0.50 of tai_dpt (best mAP on {dataset}:train)")


def test_notes_say_by_what_an_epoch_was_kept() -> None:
    notes = one_table(partial()).notes
    assert "epoch that was kept: last (tai_dpt); val_map on 10% held out of the training pictures (dualcoop)" in notes


@pytest.mark.parametrize(("dataset", "said"), [("voc2007", True), ("coco2014", False)])
def test_difficult_objects_are_said_where_there_are_any(dataset: str, said: bool) -> None:
    (note,) = (note for note in one_table(partial(datasets=(dataset,))).notes if note.startswith("mAP:"))
    assert ("difficult" in note) is said


def test_shares_are_learnt_from_different_labels_without_a_word() -> None:
    assert not any("did not learn from the same" in note for note in one_table(partial()).notes)
    odd = [*partial(("dualcoop",)), *partial(("caption_dual",), learns_from="both", draw_hash="another")]
    assert "rows with the same seed did not learn from the same pictures of voc2007" in one_table(odd).notes


# ---- single classes


def test_single_classes_are_told_for_the_fewest_and_the_most_labels() -> None:
    tables = list(class_tables(one_table(partial(datasets=("voc2007", "own")))))
    assert [(one.dataset, one.title) for one in tables] == [
        ("voc2007", "10% of labels known"),
        ("voc2007", "90% of labels known"),
        ("own", "10% of labels known"),
        ("own", "90% of labels known"),
    ]


def test_single_classes_are_means_over_runs_and_what_has_no_picture_is_left_out() -> None:
    (found,) = class_tables(one_table([record(precision=p, known=0.1, seed=s) for s, p in ((1, 0.5), (2, 0.6))]))
    assert dict(found.n_positive) == {"dog": 30, "cat": 20}
    assert found.rows["dualcoop"] == pytest.approx({"cat": 49.5, "dog": 60.5})


def test_what_learnt_from_no_picture_stands_in_every_column_of_classes() -> None:
    for found in class_tables(one_table(partial())):
        assert list(found.rows) == ["zero_shot", "tai_dpt", "dualcoop", "dualcoop+tai_dpt"]


@pytest.mark.parametrize(
    ("records", "titles"),
    [
        (partial(("tai_dpt",)), ["no picture learnt from"]),
        (few_shot(), ["1 shot", "16 shots"]),
        (zero_shot_splits(), ["unseen classes", "all classes"]),
        (partial(shares=("single-positive", 0.5)), ["50% of labels known", "single positive"]),
        (both("coop", "dtd", 0.5, 0.6), []),
    ],
    ids=["captions", "shots", "unseen", "single positives", "one class a picture"],
)
def test_columns_of_single_classes(records: Records, titles: list[str]) -> None:
    assert [found.title for found in class_tables(one_table(records))] == titles
