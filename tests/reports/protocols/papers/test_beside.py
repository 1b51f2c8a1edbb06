from __future__ import annotations

from typing import Any

import pytest

from clipprompt.datasets.classification.specifications import ELEVEN
from clipprompt.reports.protocols.papers.beside import find_published
from clipprompt.reports.protocols.papers.found import Papers, differs
from clipprompt.reports.protocols.rows import Number
from clipprompt.reports.protocols.summary import summarise_protocols
from tests.reports.protocol_records import both, record


def papers_of(records: list[dict[str, Any]]) -> Papers:
    (table,) = summarise_protocols(records)
    return find_published(table)


# ---- beside ours


def test_papers_number_stands_beside_the_same_method() -> None:
    papers = papers_of(both("coop", "dtd", 0.79, 0.41) + both("zero_shot", "dtd", 0.5, 0.6))
    assert papers.beside["coop", ("dtd", "base")] == 79.44
    assert papers.beside["zero_shot", ("dtd", "hm")] == 56.37
    assert [paper.label for paper in papers.others] == ["CoCoOp (paper)", "MaPLe (paper)"]
    assert papers.notes[0].startswith("paper: as printed in MaPLe's Table 3 (arXiv 2210.03117). ViT-B/16")


def test_all_eleven_sets_have_the_printed_average_and_those_of_other_papers() -> None:
    papers = papers_of([one for name in ELEVEN for one in both("maple", name, 0.8, 0.7)])
    assert papers.beside["maple", (None, "hm")] == 78.55
    assert papers.others[-1].title == "ATPrompt+PromptKD (transductive)"
    assert papers.others[-1].label == "ATPrompt+PromptKD (transductive) (paper)"
    assert "the methods' own papers (averages alone)" in papers.notes[0]


def test_part_of_the_sets_has_the_average_of_that_part() -> None:
    papers = papers_of([one for name in ("dtd", "eurosat") for one in both("coop", name, 0.8, 0.5)])
    assert papers.beside["coop", (None, "base")] == pytest.approx(85.815)
    assert "averaged over the same sets" in papers.notes[0]
    assert {paper.name for paper in papers.others} == {"CLIP", "CoCoOp", "MaPLe"}


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"backbone": "ViT-B-32"}, "ViT-B/16 with the weights of openai"),
        ({"backbone": "mini-vit", "pretrained": None}, "ViT-B/16 with the weights of openai"),
        ({"pretrained": "laion2b_s34b_b88k"}, "ViT-B/16 with the weights of openai"),
        ({"shots": 4}, "16 shots"),
        ({"class_split": 1}, "the papers' own halves of the classes"),
    ],
    ids=["backbone", "mini", "weights", "shots", "halves"],
)
def test_what_is_not_alike_is_not_compared_and_the_note_says_why(more: dict[str, Any], reason: str) -> None:
    papers = papers_of(both("coop", "dtd", 0.8, 0.5, **more))
    assert papers == Papers(notes=(f"no papers' numbers beside these: they are of {reason}",))


def test_drawn_sets_have_no_papers() -> None:
    papers = papers_of(both("coop", "mini-sketch", 0.8, 0.5))
    assert papers.notes == ("no papers' numbers beside these: none of the sets or methods is theirs",)
    assert not papers.others


@pytest.mark.parametrize("backbone", ["ViT-B-16", "ViT-B-16-quickgelu"])
def test_both_names_of_the_backbone_compare(backbone: str) -> None:
    assert papers_of(both("coop", "dtd", 0.8, 0.5, backbone=backbone)).beside


def test_controls_and_validation_pictures_have_no_papers() -> None:
    assert not papers_of(both("coop", "dtd", 0.8, 0.5, options={"train.epochs": 0})).beside
    assert not papers_of(both("coop", "dtd", 0.8, 0.5, part="val")).beside


@pytest.mark.parametrize(
    ("values", "printed", "expected"),
    [
        ((60.0, 70.0, 80.0), 90.1, True),  # deviation 10
        ((60.0, 70.0, 80.0), 90.0, False),
        ((60.0, 70.0, 80.0), 49.9, True),
        ((70.0, 70.0), 70.004, False),  # papers print two decimals
        ((70.0, 70.0), 70.01, True),
        ((70.0,), 10.0, False),
    ],
)
def test_more_than_two_deviations_differ(values: tuple[float, ...], printed: float, expected: bool) -> None:
    assert differs(Number(70.0, {(0, seed): value for seed, value in enumerate(values)}), printed) is expected


def test_notes_explain_marks_only_where_there_are_some() -> None:
    mark, alone = (
        "*: more than two of our standard deviations from the paper's number",
        "a row of a single run has no deviation, and no *",
    )
    near = [one for s in (1, 2) for one in both("coop", "dtd", 0.7 + s / 20, 0.4 + s / 100, seed=s)]
    assert mark not in papers_of(near).notes
    assert alone not in papers_of(near).notes
    far = papers_of(
        near + both("zero_shot", "dtd", 0.1, 0.1) + [r | {"accuracy": 0.1, "method": "maple"} for r in near]
    )
    assert {mark, alone} < set(far.notes)


# ---- hand-written prompts


def rn50(protocol: str, method: str = "zero_shot", dataset: str = "dtd", **more: Any) -> dict[str, Any]:
    return record(method, dataset, 0.4, "all", **{"protocol": protocol, "backbone": "RN50", **more})


@pytest.mark.parametrize(
    ("template", "printed"),
    [
        ("dtd", 42.32),
        ("{} texture.", 42.32),
        ("a photo of a {}.", 39.83),
        ("a photo of a {} texture.", 40.25),
        ("{}", None),
    ],
)
def test_prompts_by_hand_are_found_by_their_sentence(template: str, printed: float | None) -> None:
    papers = papers_of([rn50("zero-shot", options={"learner.templates": [template], "learner.centre": False})])
    assert papers.beside.get(("zero_shot", ("dtd", "accuracy"))) == printed


def test_centred_text_and_several_templates_are_no_prompt_by_hand() -> None:
    assert not papers_of([rn50("zero-shot", options={"learner.templates": ["dtd"], "learner.centre": True})]).beside
    assert not papers_of([rn50("zero-shot", options={"learner.templates": ["dtd", "a {}."]})]).beside


def test_sixteen_learnt_vectors_stand_at_sixteen_shots() -> None:
    records = [rn50("few-shot", "coop", shots=n, options={"learner.n_ctx": 16}) for n in (8, 16)]
    assert papers_of(records).beside == {("coop", ("dtd", "16")): 63.58}
    assert not papers_of([rn50("few-shot", "coop", options={"learner.n_ctx": 4})]).beside
    assert not papers_of([rn50("few-shot", "coop", options={"learner.n_ctx": 16}, backbone="ViT-B-16")]).beside


@pytest.mark.parametrize(
    ("more", "reason"), [({"backbone": "ViT-B-16"}, "they are of RN50"), ({"dataset": "zoo"}, "none of the sets")]
)
def test_note_says_why_nothing_stands_beside_few_shots(more: dict[str, Any], reason: str) -> None:
    (note,) = papers_of([rn50("few-shot", "coop", options={"learner.n_ctx": 16}, **more)]).notes
    assert note.startswith(f"no papers' numbers beside these: {reason}")


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("dtd", {"split_source": "labels/test1.txt"}),
        ("dtd", {"split_source": "split_zhou_DescribableTextures.json; not of the official size"}),
        ("fgvc_aircraft", {"split_source": "data/images_variant_test.txt; not of the official size"}),
        ("caltech101", {"split_sha256": "0" * 64}),
    ],
    ids=["official files", "half a download", "half a download without a split file", "another split file"],
)
def test_other_pictures_than_the_papers_are_not_compared(name: str, more: dict[str, Any]) -> None:
    alone = papers_of(both("coop", name, 0.8, 0.5, **more))
    source = more.get("split_source", "split_zhou_Caltech101.json")
    assert alone == Papers(notes=(f"no paper's number beside {name}: its pictures are not theirs ({source})",))
    beside = papers_of(both("coop", name, 0.8, 0.5, **more) + both("coop", "food101", 0.8, 0.5))
    assert {dataset for _, (dataset, _) in beside.beside} == {"food101"}
    assert {dataset for paper in beside.others for dataset, _ in paper.numbers} == {"food101"}
    assert beside.notes[-1] == alone.notes[0]


def test_prompts_by_hand_are_not_compared_on_other_pictures() -> None:
    papers = papers_of([rn50("zero-shot", options={"learner.templates": ["dtd"]}, split_source="labels/test1.txt")])
    assert papers.notes == ("no paper's number beside dtd: its pictures are not theirs (labels/test1.txt)",)


@pytest.mark.parametrize("templates", [5, None, [], [7], "dtd", [["dtd"]]])
def test_templates_of_strangers_are_no_prompt(templates: object) -> None:
    assert not papers_of([rn50("zero-shot", options={"learner.templates": templates})]).beside
