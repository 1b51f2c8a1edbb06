from __future__ import annotations

import random
from typing import Any

import pytest

from clipprompt.errors import UserError
from clipprompt.evaluation.accuracy import harmonic_mean
from clipprompt.reports.protocols.comparable import distinct_records
from clipprompt.reports.protocols.rows import Number, ProtocolTable
from clipprompt.reports.protocols.settings import settings_of
from clipprompt.reports.protocols.summary import summarise_protocols
from tests.reports.protocol_records import both, record

Records = list[dict[str, Any]]


def one_table(records: Records) -> ProtocolTable:
    (table,) = summarise_protocols(records)
    return table


def labels(records: Records) -> list[str]:
    return [row.label for row in one_table(records).rows]


def three_runs(method: str = "coop", dataset: str = "dtd", **more: Any) -> Records:
    """Base 60, 70, 80 and novel 50, 40, 30."""
    return [one for s in (1, 2, 3) for one in both(method, dataset, 0.5 + s / 10, 0.6 - s / 10, seed=s, **more)]


def all_protocols() -> Records:
    few = [
        record("coop", "dtd", 0.5 + n / 100, "all", protocol="few-shot", shots=n, seed=s)
        for n in (1, 16)
        for s in (1, 2)
    ]
    cross = [
        record("coop", name, 0.5, "all", protocol="cross-dataset", trained_on="imagenet", seed=s)
        for name in ("imagenet", "dtd", "food101")
        for s in (1, 2)
    ]
    return [*three_runs(), *three_runs("maple"), *both("zero_shot", "dtd", 0.5, 0.6), *few, *cross]


# ---- numbers


def test_mean_and_sample_deviation_are_over_seeds() -> None:
    (row,) = one_table(three_runs()).rows
    base, novel = row.numbers["dtd", "base"], row.numbers["dtd", "novel"]
    assert (base.mean, base.std, base.n_runs) == (pytest.approx(70), pytest.approx(10), 3)
    assert (novel.mean, novel.std) == (pytest.approx(40), pytest.approx(10))


def test_harmonic_mean_is_of_the_means_and_its_deviation_is_of_the_runs() -> None:
    (row,) = one_table(three_runs()).rows
    number = row.numbers["dtd", "hm"]
    assert number.mean == pytest.approx(2 * 70 * 40 / 110)
    assert list(number.values.values()) == pytest.approx([600 / 11, 560 / 11, 480 / 11])
    assert number.std == pytest.approx(5.55464, abs=1e-4)  # of 54.545, 50.909 and 43.636


def test_average_is_of_means_and_its_harmonic_mean_of_the_averages() -> None:
    (row,) = one_table(both("coop", "dtd", 0.8, 0.4) + both("coop", "food101", 0.6, 0.6)).rows
    assert row.numbers[None, "base"].mean == pytest.approx(70)
    assert row.numbers[None, "novel"].mean == pytest.approx(50)
    assert row.numbers[None, "hm"].mean == pytest.approx(2 * 70 * 50 / 120)  # not the 56.7 of 53.3 and 60


def test_deviation_of_an_average_is_of_the_averages_of_single_runs() -> None:
    records = [
        one
        for s, up in ((1, 0.0), (2, 0.1))
        for one in [*both("coop", "dtd", 0.5 + up, 0.5, seed=s), *both("coop", "food101", 0.5 - up, 0.5, seed=s)]
    ]
    (row,) = one_table(records).rows
    assert row.numbers["dtd", "base"].std == pytest.approx(7.0711, abs=1e-4)
    assert row.numbers[None, "base"].std == pytest.approx(0)


def test_class_splits_are_runs_as_seeds_are() -> None:
    records = [
        one
        for split in (0, 1)
        for s in (1, 2)
        for one in both("coop", "dtd", 0.5 + s / 10, 0.5, seed=s, class_split=split)
    ]
    table = one_table(records)
    assert table.rows[0].numbers["dtd", "base"].n_runs == 4
    assert "±: sample standard deviation over runs (seeds 1, 2, class splits 0, 1)" in table.notes


def test_single_run_has_no_deviation() -> None:
    assert one_table(both("coop", "dtd", 0.5, 0.5)).rows[0].numbers["dtd", "hm"].std is None


@pytest.mark.parametrize(("base", "novel", "expected"), [(80.0, 40.0, 160 / 3), (0.0, 50.0, 0.0), (0.0, 0.0, 0.0)])
def test_harmonic_mean(base: float, novel: float, expected: float) -> None:
    assert harmonic_mean(base, novel) == pytest.approx(expected)


def test_no_harmonic_mean_of_different_runs() -> None:
    records = [record("coop", "dtd", 0.5, "base", seed=1), record("coop", "dtd", 0.5, "novel", seed=2)]
    (row,) = one_table(records).rows
    assert ("dtd", "base") in row.numbers
    assert ("dtd", "hm") not in row.numbers


# ---- averages


def test_average_is_over_the_sets_that_all_rows_have_and_says_what_lacks() -> None:
    records = [one for name in ("dtd", "food101", "eurosat") for one in both("coop", name, 0.5, 0.5)]
    records += [one for name in ("dtd", "food101") for one in both("maple", name, 0.7, 0.7)]
    table = one_table(records)
    assert table.averaged == ("food101", "dtd")
    assert {"average: over the 2 sets that all rows have", "no number, or not all, of maple: eurosat"} < set(
        table.notes
    )


def test_no_average_where_fewer_than_two_sets_are_shared() -> None:
    table = one_table(both("coop", "dtd", 0.5, 0.5) + both("maple", "food101", 0.5, 0.5))
    assert not any(dataset is None for row in table.rows for dataset, _ in row.numbers)
    assert "no average: fewer than two sets have numbers of all rows" in table.notes


def test_one_set_has_no_average_and_no_word_of_one() -> None:
    table = one_table(three_runs())
    assert (None, "hm") not in table.rows[0].numbers
    assert not any("average" in note for note in table.notes)


@pytest.mark.parametrize("protocol", ["cross-dataset", "domain"])
def test_source_comes_first_and_is_in_no_average(protocol: str) -> None:
    accuracies = {"dtd": 0.4, "food101": 0.6, "stanford_cars": 0.9}
    records = [
        record("coop", name, value, "all", protocol=protocol, trained_on="stanford_cars")
        for name, value in accuracies.items()
    ]
    records += [record("zero_shot", name, 0.5, "all", protocol=protocol) for name in accuracies]
    table = one_table(records)
    assert table.source == "stanford_cars"
    assert table.datasets == ("stanford_cars", "food101", "dtd")
    assert [row.numbers[None, "accuracy"].mean for row in table.rows] == pytest.approx([50, 50])
    assert "average: over all 2 target sets, without the source" in table.notes


def test_two_sources_are_two_tables_and_what_learns_nothing_stands_in_both() -> None:
    records = [record("zero_shot", "dtd", 0.5, "all", protocol="domain")]
    records += [
        record("coop", "dtd", 0.6, "all", protocol="domain", trained_on=name) for name in ("imagenet", "food101")
    ]
    tables = summarise_protocols(records)
    assert [table.source for table in tables] == ["food101", "imagenet"]
    assert [[row.label for row in table.rows] for table in tables] == [["zero_shot", "coop"]] * 2


# ---- columns and order


def test_shots_are_columns_by_number() -> None:
    few = [record("coop", "dtd", 0.5, "all", protocol="few-shot", shots=n) for n in (16, None, 2, 1)]
    table = one_table([*few, record("zero_shot", "dtd", 0.4, "all", protocol="few-shot")])
    assert table.columns == ("0", "1", "2", "16", "all")
    assert [column for _, column in table.rows[0].numbers] == ["0"]


def test_sets_and_methods_have_the_order_of_the_papers() -> None:
    methods = ("mine", "maple", "zero_shot", "coop", "cocoop")
    table = one_table(
        [one for name in ("ucf101", "zoo", "imagenet", "art") for m in methods for one in both(m, name, 0.5, 0.5)]
    )
    assert table.datasets == ("imagenet", "ucf101", "art", "zoo")
    assert [row.method for row in table.rows] == ["zero_shot", "coop", "cocoop", "maple", "mine"]


def test_order_of_the_records_does_not_matter() -> None:
    records, shuffled = all_protocols(), all_protocols()
    for seed in range(5):
        random.Random(seed).shuffle(shuffled)
        assert summarise_protocols(shuffled) == summarise_protocols(records)


# ---- what compares


@pytest.mark.parametrize(
    "other",
    [
        {"backbone": "ViT-B-32"},
        {"pretrained": "laion2b"},
        {"fingerprint": "0" * 16},
        {"precision": "bf16"},
        {"transform": "336 px"},
        {"part": "val"},
        {"split_hash": "other pictures"},
        {"class_hash": "other names"},
        {"draw_hash": "other draw"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_what_does_not_compare_is_another_table(other: dict[str, Any]) -> None:
    records = three_runs() + both("coop", "dtd", 0.9, 0.9, seed=4) + both("coop", "dtd", 0.1, 0.1, seed=4, **other)
    first, second = sorted(summarise_protocols(records), key=lambda table: -len(table.records))
    assert sorted(table.rows[0].numbers["dtd", "base"].n_runs for table in (first, second)) == [1, 4]


def test_a_table_says_what_its_pictures_are_not() -> None:
    records = three_runs() + both("coop", "dtd", 0.1, 0.1, seed=4, split_hash="0123456789", n_images=7)
    notes = summarise_protocols(records)[1].notes
    assert (
        "dtd has other pictures than in a table above (7 of split_zhou_DescribableTextures.json, split_hash 01234567)"
        in notes
    )


@pytest.mark.parametrize(
    ("other", "note"),
    [
        ({"fingerprint": "xyz"}, "other weights than in a table above: xyz"),
        (
            {"transform": "Compose(\n    Resize(336)\n)"},
            "other transform than in a table above: Compose( Resize(336) )",
        ),
        (
            {"class_hash": "abc"},
            "zoo has other class names than in a table above (100 of lists of its own, class_hash abc)",
        ),
    ],
    ids=["weights", "transform", "class names"],
)
def test_tables_with_one_caption_say_what_tells_them_apart(other: dict[str, Any], note: str) -> None:
    tables = summarise_protocols(three_runs(dataset="zoo") + both("coop", "zoo", 0.1, 0.1, seed=4, **other))
    assert [note in table.notes for table in tables] == [False, True]


def test_pictures_that_most_runs_were_tested_on_come_first() -> None:
    records = both("coop", "dtd", 0.1, 0.1, split_hash="a") + [r | {"split_hash": "z"} for r in three_runs()]
    assert [table.rows[0].numbers["dtd", "base"].n_runs for table in summarise_protocols(records)] == [3, 1]


def test_base_and_novel_classes_of_one_run_stay_together() -> None:
    runs = {1: ("b2", "n1"), 2: ("b1", "n2")}
    records = [
        record("coop", "dtd", 0.5, part, seed=s, split_hash=names[k])
        for s, names in runs.items()
        for k, part in enumerate(("base", "novel"))
    ]
    tables = summarise_protocols(records)
    assert [list(table.rows[0].numbers["dtd", "hm"].values) for table in tables] == [[(0, 1)], [(0, 2)]]


def test_validation_pictures_are_drawn_with_the_seed_and_still_one_row() -> None:
    records = [r | {"part": "val", "split_hash": f"{r['seed']}"} for r in three_runs()]
    table = one_table(records)
    assert table.rows[0].numbers["dtd", "base"].n_runs == 3
    assert "val pictures are for choosing settings; these are no results" in table.notes


def test_protocols_are_tables_of_their_own() -> None:
    assert [table.protocol for table in summarise_protocols(all_protocols())] == [
        "base-to-novel",
        "few-shot",
        "cross-dataset",
    ]


# ---- duplicates


def test_a_run_that_comes_twice_counts_once() -> None:
    records = three_runs()
    again = [r | {"test_seconds": 9.0, "device": "cuda:0"} for r in records]
    assert one_table(records + again).rows[0].numbers == one_table(records).rows[0].numbers


def test_which_of_two_equal_runs_is_kept_does_not_depend_on_their_order() -> None:
    first, again = record(), record(test_seconds=0.5)
    assert distinct_records([first, again]) == distinct_records([again, first]) == [again]


def test_a_run_with_two_accuracies_is_refused_and_both_places_are_named() -> None:
    with pytest.raises(UserError) as error:
        summarise_protocols([record(accuracy=0.5), record(accuracy=0.6)], ["a.jsonl, line 1", "b.jsonl, line 7"])
    assert str(error.value) == (
        "a.jsonl, line 1 and b.jsonl, line 7 are the same run (coop on dtd, base classes, seed 1) "
        "with accuracies 0.5 and 0.6: keep one"
    )


def test_merged_parts_are_the_whole() -> None:
    records = all_protocols()
    parts = [records[number::3] for number in range(3)]
    assert distinct_records([*parts[2], *parts[0], *parts[1], *parts[0]]) == distinct_records(records)


# ---- rows


def test_settings_that_differ_make_rows_and_name_them() -> None:
    options = [
        {"learner.n_ctx": n, "learner.ctx_init": None, "train.lr": lr} for n, lr in ((16, 0.002), (4, 0.002), (4, 0.02))
    ]
    records = [one for chosen in options for one in both("coop", "dtd", 0.5, 0.5, options=chosen)]
    assert labels(records) == ["coop, n_ctx=4, lr=0.002", "coop, n_ctx=4, lr=0.02", "coop, n_ctx=16, lr=0.002"]


def test_settings_of_other_sets_make_rows_too() -> None:
    records = both("coop", "dtd", 0.5, 0.5, options={"learner.n_ctx": 4}) + both(
        "coop", "food101", 0.5, 0.5, options={"learner.n_ctx": 16}
    )
    assert labels(records) == ["coop, n_ctx=4", "coop, n_ctx=16"]


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("train.seed", (1, 2)),
        ("train.devices", (1, 2)),
        ("train.log_steps", (0, 5)),
        ("data.root", ("a", "b")),
        ("backbone.device", ("cpu", "mps")),
    ],
)
def test_what_moves_no_number_makes_no_row(key: str, values: tuple[Any, Any]) -> None:
    records = [
        one
        for s, v in zip((1, 2), values, strict=True)
        for one in both("coop", "dtd", 0.5, 0.5, seed=s, options={key: v})
    ]
    assert labels(records) == ["coop"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([{"a.x": 1}, {"a.x": 2}], ["coop, x=1", "coop, x=2"]),
        ([{"a.x": 1, "b.x": 1}, {"a.x": 2, "b.x": 2}], ["coop, a.x=1, b.x=1", "coop, a.x=2, b.x=2"]),
        ([{"a.x": None}, {"a.x": True}], ["coop, x=null", "coop, x=true"]),
        ([{"a.x": ["one"]}, {"a.x": ["a", "b", "c"]}], ["coop, x=3 values", "coop, x=one"]),
        ([{}, {"a.x": 1}], ["coop, x=1", "coop, x=not recorded"]),
        ([{"a.x": "red\x1b[31m"}, {"a.x": "b"}], ["coop, x=b", "coop, x=red\\x1b[31m"]),
    ],
    ids=["numbers", "full names", "none and true", "lists", "missing", "control characters"],
)
def test_labels_name_what_differs(options: list[dict[str, Any]], expected: list[str]) -> None:
    assert (
        sorted(labels([one for chosen in options for one in both("coop", "dtd", 0.5, 0.5, options=chosen)])) == expected
    )


def test_shots_make_rows_where_they_are_no_columns() -> None:
    assert labels(both("coop", "dtd", 0.5, 0.5, shots=4) + both("coop", "dtd", 0.5, 0.5)) == [
        "coop, shots=4",
        "coop, shots=16",
    ]


def test_what_learns_nothing_is_one_row_whatever_the_others_shots() -> None:
    assert labels(both("zero_shot", "dtd", 0.5, 0.5) + both("coop", "dtd", 0.5, 0.5)) == ["zero_shot", "coop"]


def test_the_rule_of_selection_makes_rows_but_not_the_set_in_it() -> None:
    names = ("dtd", "food101")
    records = [one for name in names for one in both("coop", name, 0.5, 0.5, selection=f"val on {name}:val")]
    assert labels(records) == ["coop"]
    records += [one for name in names for one in both("coop", name, 0.5, 0.5)]
    assert labels(records) == ["coop, selection=last", "coop, selection=val on {dataset}:val"]


def test_transductive_rows_say_so() -> None:
    records = both("coop", "dtd", 0.5, 0.5) + both("coop", "dtd", 0.5, 0.5, setting="transductive")
    assert labels(records) == ["coop", "coop (transductive)"]


@pytest.mark.parametrize("key", ["train.epochs", "train.lr", "train.batch_size"])
def test_epochs_and_rates_may_differ_between_sets_and_are_said(key: str) -> None:
    values = {"imagenet": 50, "dtd": 200, "food101": 200}
    table = one_table([one for name, n in values.items() for one in both("coop", name, 0.5, 0.5, options={key: n})])
    assert [row.label for row in table.rows] == ["coop"]
    assert f"coop: {key} is 50 on imagenet, otherwise 200" in table.notes


def test_what_learnt_nothing_has_no_shots_in_a_note() -> None:
    sentences = {"dtd": "{} texture.", "food101": "a {}.", "eurosat": "a {}."}
    records = [
        record("zero_shot", name, 0.5, "all", protocol="few-shot", options={"learner.templates": [text]})
        for name, text in sentences.items()
    ]
    assert 'zero_shot: learner.templates is ["{dataset}"] on dtd, otherwise ["a {}."]' in one_table(records).notes


def test_one_shot_is_one_in_a_note() -> None:
    epochs = {1: 50, 2: 100, 4: 100}
    records = [
        record("coop", "dtd", 0.5, "all", protocol="few-shot", shots=shots, options={"train.epochs": n})
        for shots, n in epochs.items()
    ]
    assert "coop: train.epochs is 50 on dtd 1 shot, otherwise 100" in one_table(records).notes


@pytest.mark.parametrize("seeds", [(1,), (1, 2)])
def test_a_deviation_is_explained_where_there_is_one(seeds: tuple[int, ...]) -> None:
    table = one_table([one for seed in seeds for one in both("coop", "dtd", 0.5, 0.5, seed=seed)])
    assert any("±" in note for note in table.notes) == (len(seeds) > 1)


def test_prompts_that_were_not_trained_are_said() -> None:
    note = "coop: prompts as they start, nothing was learnt (train.epochs=0)"
    for n in (0, 1):
        table = one_table(both("coop", "dtd", 0.5, 0.5, options={"train.epochs": n}))
        assert (note in table.notes) == (n == 0)


def test_epochs_make_rows_where_one_set_has_several() -> None:
    records = [one for n in (50, 200) for one in both("coop", "dtd", 0.5, 0.5, options={"train.epochs": n})]
    assert labels(records) == ["coop, epochs=50", "coop, epochs=200"]


HAND = {"dtd": "{} texture.", "food101": "a photo of {}, a type of food.", "caltech101": "a photo of a {}."}


def by_hand(sentences: dict[str, str]) -> Records:
    return [
        one
        for name, text in sentences.items()
        for one in both("zero_shot", name, 0.5, 0.5, options={"learner.templates": [text]})
    ]


@pytest.mark.parametrize("sentences", [HAND, {name: name for name in HAND}], ids=["sentences", "names"])
def test_the_sets_own_sentences_are_one_row(sentences: dict[str, str]) -> None:
    table = one_table(by_hand(sentences))
    assert [row.label for row in table.rows] == ["zero_shot"]
    assert table.averaged == ("caltech101", "food101", "dtd")
    assert all(settings_of(r)["learner.templates"] == ["{dataset}"] for r in table.records)


def test_a_sentence_that_is_some_sets_own_stands_in_both_rows() -> None:
    plain = dict.fromkeys(HAND, "a photo of a {}.")
    table = one_table(by_hand(HAND) + by_hand(plain))
    assert [row.label for row in table.rows] == [
        "zero_shot, templates=a photo of a {}.",
        "zero_shot, templates={dataset}",
    ]
    assert all(len(row.numbers) == 3 * 4 for row in table.rows)


# ---- notes


def test_notes_count_the_runs_that_are_not_as_many() -> None:
    records = (
        three_runs() + three_runs(dataset="food101")[:4] + three_runs("maple") + both("zero_shot", "dtd", 0.5, 0.5)
    )
    notes = one_table(records).notes
    assert "runs: 3 of each row; 1 of zero_shot; 2 of coop on food101" in notes


@pytest.mark.parametrize(
    ("other", "note"),
    [
        ({"versions": {"torch": "2.7.0"}}, "versions are not the same for all runs: torch 2.6.0, 2.7.0"),
        ({"device": "cuda:0"}, "devices are not the same for all runs: cpu, cuda"),
        ({"cached": False}, "coop: features of some runs went through a float16 cache, those of others did not"),
        ({"n_skipped": 3}, "pictures that could not be read were left out: 3 of dtd"),
    ],
    ids=["versions", "devices", "cache", "skipped"],
)
def test_notes_say_what_was_not_the_same(other: dict[str, Any], note: str) -> None:
    assert note not in one_table(three_runs()).notes
    assert note in one_table(three_runs() + both("coop", "dtd", 0.5, 0.5, seed=4, **other)).notes


def test_notes_say_that_methods_learnt_from_different_draws() -> None:
    records = both("coop", "dtd", 0.5, 0.5) + both("maple", "dtd", 0.5, 0.5, draw_hash="another")
    assert "rows with the same seed did not learn from the same pictures of dtd" in one_table(records).notes


def test_notes_say_that_rows_have_other_class_splits_or_seeds() -> None:
    records = [one for split in (0, 1) for one in both("coop", "dtd", 0.5, 0.5, class_split=split)]
    notes = one_table(records + both("maple", "dtd", 0.5, 0.5, seed=2) + both("zero_shot", "dtd", 0.5, 0.5)).notes
    assert "rows do not have the same class splits: coop: 0, 1; maple: 0" in notes
    assert "rows do not have the same seeds: coop: 1; maple: 2" in notes


@pytest.mark.parametrize(
    ("dataset", "flagged"), [("eurosat", True), ("dtd", True), ("fgvc_aircraft", True), ("food101", False)]
)
def test_high_variance_sets_have_a_note(dataset: str, flagged: bool) -> None:
    notes = one_table(both("coop", dataset, 0.5, 0.5)).notes
    assert any(note.startswith("†") for note in notes) is flagged


def test_runs_of_a_number_can_be_told() -> None:
    assert Number(50.0, {(0, 1): 40.0, (0, 2): 60.0}).std == pytest.approx(14.1421, abs=1e-4)
