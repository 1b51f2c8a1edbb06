from __future__ import annotations

from typing import Any

import pytest

from clipprompt.evaluation.protocols.planning import load_protocol, plan_jobs
from clipprompt.reports.protocols.papers.beside import find_published
from clipprompt.reports.protocols.papers.found import Papers
from clipprompt.reports.protocols.papers.partial_labels import PAPER
from clipprompt.reports.protocols.summary import summarise_protocols
from tests.reports.multilabel_records import RN101, few_shot, partial, zero_shot_splits

THEIRS = {**RN101, "n_images": 4952}
NAMES = ["SARB", "DualCoOp", "DualCoOp, reproduced", "DualCoOp + TaI-DPT"]


def papers_of(*runs: list[dict[str, Any]]) -> Papers:
    (table,) = summarise_protocols([record for run in runs for record in run])
    return find_published(table)


def test_what_compares_stands_beside_the_methods_that_answer_to_it() -> None:
    papers = papers_of(partial(**THEIRS))
    assert papers.beside["dualcoop", ("voc2007", "10")] == 90.3
    assert papers.beside["dualcoop+tai_dpt", ("voc2007", "90")] == 95.5
    assert papers.beside["dualcoop+tai_dpt", ("voc2007", "average")] == 94.8
    assert [paper.title for paper in papers.others] == ["SARB", "DualCoOp, reproduced"]
    assert papers.notes[0].startswith("paper: as printed in TaI-DPT's Table 3 (arXiv 2211.12739): RN101, 448 px.")
    assert papers.notes[1] == "*: more than two of our standard deviations from the paper's number"


def test_columns_that_are_not_there_have_nothing_beside() -> None:
    assert papers_of(partial(("tai_dpt",), **THEIRS)) == Papers()


def test_rows_that_nothing_answers_to_are_shown_and_the_note_says_what_they_do_otherwise() -> None:
    papers = papers_of(partial(("caption_dual",), shares=(0.1,), **THEIRS))
    assert [paper.title for paper in papers.others] == NAMES
    assert dict(papers.others[0].numbers) == {("voc2007", "10"): 83.5}
    assert (
        "difficult objects are negatives, and the epoch is the best on the pictures that are tested" in papers.notes[0]
    )


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"backbone": "RN50"}, "theirs are of RN101 with the weights of openai at 448 px"),
        ({"pretrained": "yfcc15m"}, "theirs are of RN101 with the weights of openai at 448 px"),
        ({"transform": "224 px"}, "theirs are of RN101 with the weights of openai at 448 px"),
        ({"transform": "by hand"}, "theirs are of RN101 with the weights of openai at 448 px"),
        ({"n_images": 100}, "theirs are of all 4,952 pictures of voc2007's test split"),
    ],
    ids=["backbone", "weights", "size", "no size", "pictures"],
)
def test_what_does_not_compare_is_marked_and_the_note_says_why(more: dict[str, Any], reason: str) -> None:
    papers = papers_of(partial(**{**THEIRS, **more}))
    assert not papers.beside
    assert [paper.title for paper in papers.others] == [f"{name} ‡" for name in NAMES]
    assert papers.notes[-1] == f"‡: not comparable: {reason}"


def test_a_set_that_compares_and_one_that_does_not_stand_in_one_table() -> None:
    papers = papers_of(partial(**THEIRS), partial(datasets=("coco2014",), **THEIRS))
    assert ("dualcoop", ("voc2007", "10")) in papers.beside
    assert ("dualcoop", ("coco2014", "10")) not in papers.beside
    assert [paper.title for paper in papers.others] == [
        *("SARB", "SARB ‡", "DualCoOp ‡", "DualCoOp, reproduced", "DualCoOp, reproduced ‡", "DualCoOp + TaI-DPT ‡")
    ]


def test_what_learnt_from_captions_too_has_no_papers_number() -> None:
    papers = papers_of(partial(("dualcoop",), learns_from="both", **THEIRS))
    assert not papers.beside
    assert [paper.title for paper in papers.others] == NAMES


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"options": {"learner.negative": False}}, "learner.negative=false (theirs: true)"),
        ({"options": {"learner.n_ctx": 4}}, "learner.n_ctx=4 (theirs: 16)"),
        ({"options": {"learner.class_specific": False}}, "learner.class_specific=false (theirs: true)"),
        ({"options": {"train.epochs": 0}}, "train.epochs=0 (theirs: 50)"),
        ({"shots": 16}, "shots=16 (theirs: all pictures)"),
    ],
    ids=str,
)
def test_other_settings_than_the_papers_do_not_compare(more: dict[str, Any], words: str) -> None:
    papers = papers_of(partial(("dualcoop",), **more, **THEIRS))
    assert not papers.beside
    assert [paper.title for paper in papers.others] == ["SARB", "DualCoOp ‡", *NAMES[2:]]
    assert papers.notes[-1] == f"‡: not comparable: dualcoop has {words}"


def test_members_of_an_ensemble_have_the_papers_settings_too() -> None:
    options = {"dualcoop: train.epochs": 50, "tai_dpt: train.epochs": 3}
    papers = papers_of(partial(("dualcoop+tai_dpt",), options=options, **THEIRS))
    assert not papers.beside
    assert [paper.title for paper in papers.others] == [*NAMES[:3], "DualCoOp + TaI-DPT ‡"]
    assert papers.notes[-1] == "‡: not comparable: dualcoop+tai_dpt has tai_dpt: train.epochs=3 (theirs: 20)"


def test_of_two_rows_the_one_with_the_papers_settings_has_its_number() -> None:
    options = {"learner.negative": True}, {"learner.negative": False}
    papers = papers_of(*(partial(("dualcoop",), options=one, **THEIRS) for one in options))
    assert {label for label, _ in papers.beside} == {"dualcoop, negative=true"}
    assert "DualCoOp ‡" not in [paper.title for paper in papers.others]


def test_settings_are_compared_on_each_set() -> None:
    on_coco = partial(("dualcoop",), ("coco2014",), options={"train.epochs": 5}, **{**THEIRS, "n_images": 40504})
    papers = papers_of(partial(("dualcoop",), options={"train.epochs": 50}, **THEIRS), on_coco)
    assert {dataset for _, (dataset, _) in papers.beside} == {"voc2007"}
    (unlike,) = (paper for paper in papers.others if not paper.compares)
    assert {dataset for dataset, _ in unlike.numbers} == {"coco2014"}


@pytest.mark.parametrize("dataset", ["voc2007", "coco2014", "nuswide"])
def test_settings_of_the_protocol_are_the_papers(dataset: str) -> None:
    jobs = plan_jobs(load_protocol("partial-label"), ["dualcoop", "tai_dpt"], [dataset], corpus="c.parquet")
    for job in jobs:
        config = job.config("data")
        options = {f"learner.{key}": value for key, value in config.learner.items()}
        options["train.epochs"] = config.train.epochs
        assert PAPER[job.method].items() <= options.items()


@pytest.mark.parametrize(
    "records",
    [partial(datasets=("own",)), partial(part="val"), few_shot(), zero_shot_splits()],
    ids=["own set", "validation", "shots", "unseen classes"],
)
def test_what_no_paper_prints_has_nothing_beside(records: list[dict[str, Any]]) -> None:
    assert papers_of(records) == Papers()
