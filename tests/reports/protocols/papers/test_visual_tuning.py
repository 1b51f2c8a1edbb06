from __future__ import annotations

from typing import Any

import pytest

from clipprompt.reports.protocols.groups import PARAMS
from clipprompt.reports.protocols.papers.beside import find_published
from clipprompt.reports.protocols.papers.found import Papers
from clipprompt.reports.protocols.papers.visual_tuning import TABLES, load_visual_tuning
from clipprompt.reports.protocols.summary import summarise_protocols
from tests.reports.tuning_records import TIMM, grid, study, tuned

Records = list[dict[str, Any]]


def papers_of(records: Records) -> Papers:
    (table,) = summarise_protocols(records)
    return find_published(table)


def test_table_1_stands_beside_the_same_methods_on_the_same_sets() -> None:
    papers = papers_of(study(**TIMM, **grid()))
    assert papers.beside["vpt-deep", (None, "natural")] == 78.48
    assert papers.beside["vpt-deep", (None, "natural wins")] == 6
    assert papers.beside["full", (None, PARAMS)] == 24.02
    assert ("full", (None, "natural wins")) not in papers.beside
    assert [one.title for one in papers.others][:2] == ["partial-1", "mlp-3"]
    assert all(one.compares for one in papers.others)
    assert "Visual Prompt Tuning's Table 1 (arXiv 2203.12119): ViT-B/16, ImageNet-21k" in papers.notes[0]


def test_group_that_lacks_a_set_is_marked_with_the_reason() -> None:
    records = [record for record in study(**TIMM, **grid()) if record["dataset"] != "fgvc-cub"]
    papers = papers_of(records)
    assert ("linear", (None, "natural")) in papers.beside
    assert ("linear", (None, "fgvc")) not in papers.beside
    marked = next(one for one in papers.others if one.title == "linear ‡")
    assert marked.numbers[None, "fgvc"] == 79.32
    assert "‡: FGVC not comparable: theirs are of FGVC's 5 sets, ours of 4" in papers.notes


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pretrained": "augreg_in21k"}, "theirs are of the weights orig_in21k"),
        ({"share": 0.5}, "theirs learnt from all training pictures"),
        ({"grid": None}, "their settings were chosen on val of each set"),
    ],
    ids=["other weights", "half of the pictures", "no grid"],
)
def test_what_is_not_as_in_the_study_does_not_compare(change: dict[str, Any], words: str) -> None:
    papers = papers_of(study(**{**TIMM, **grid(), **change}))
    assert not papers.beside
    assert {one.compares for one in papers.others} == {False}
    assert any(words in note for note in papers.notes)


@pytest.mark.parametrize(
    ("name", "tag", "backbone"),
    [
        ("timm:vit_base_patch16_224", "augreg_in21k", "ViT-B/16, ImageNet-21k"),
        ("timm:vit_base_patch16_224.orig_in21k", "orig_in21k", "ViT-B/16, ImageNet-21k"),
        ("timm:vit_base_patch16_224.mae", None, "ViT-B/16, MAE"),
        ("timm:hf-hub:someone/vit_base_patch16_mocov3", None, "ViT-B/16, MoCo v3"),
        ("timm:vit_base_patch16_224.dino", "files/linear-vit-b-300ep.pth.tar", "ViT-B/16, MoCo v3"),
        ("timm:swin_base_patch4_window7_224.ms_in22k", None, "Swin-B, ImageNet-21k"),
        ("timm:convnext_base.fb_in22k", None, "ConvNeXt-B, ImageNet-21k"),
        ("timm:resnet50", "tv_in1k", "ResNet-50, ImageNet-1k"),
        ("timm:vit_base_patch16_224.augreg_in21k_ft_in1k", None, None),
        ("ViT-B-16", "openai", None),
        ("mini-vit", None, None),
    ],
)
def test_table_is_chosen_by_the_backbones_name(name: str, tag: str | None, backbone: str | None) -> None:
    notes = papers_of(study(backbone=name, pretrained=tag)).notes
    if backbone is None:
        assert notes[0].startswith("no papers' numbers beside these: they are of timm's ViT-B/16")
    else:
        assert f": {backbone}. Its total params" in notes[0]


def test_sets_without_groups_have_no_papers() -> None:
    assert papers_of([tuned(**TIMM)]).notes == ("no papers' numbers beside these: no set here is of its groups",)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.backbone)
def test_every_table_is_read_whole(table: Any) -> None:
    rows = load_visual_tuning(table)
    groups = {"natural", "specialized", "structured", *(["fgvc"] if table.number == 1 else [])}
    assert rows[0].name == "full"
    assert all(groups <= {column for _, column in row.numbers} for row in rows)
