from __future__ import annotations

from typing import Any

import pytest

from clipprompt.reports.protocols.papers.beside import find_published
from clipprompt.reports.protocols.papers.found import Papers
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


@pytest.mark.parametrize(
    "more",
    [{"options": {"train.epochs": 0}}, {"learns_from": "both"}, {"shots": 16}],
    ids=["start", "captions", "few shots"],
)
def test_prompts_as_they_start_from_captions_too_or_from_few_pictures_have_no_papers_number(
    more: dict[str, Any],
) -> None:
    papers = papers_of(partial(("dualcoop",), **more, **THEIRS))
    assert not papers.beside
    assert [paper.title for paper in papers.others] == NAMES


@pytest.mark.parametrize(
    "records",
    [partial(datasets=("own",)), partial(part="val"), few_shot(), zero_shot_splits()],
    ids=["own set", "validation", "shots", "unseen classes"],
)
def test_what_no_paper_prints_has_nothing_beside(records: list[dict[str, Any]]) -> None:
    assert papers_of(records) == Papers()
