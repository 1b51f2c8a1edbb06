"""Visual Prompt Tuning's Tables 1, 2, 4 and 5 (arXiv 2203.12119) beside visual-tuning: means of groups by backbone.

Which of them is shown is told by the backbone's name. Its lines are marked where they are of other weights, or where
our sets, shares or settings are not as the study has them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from clipprompt.printable import printable
from clipprompt.reports.multilabel.published import read_published
from clipprompt.reports.protocols.columns import ACCURACY
from clipprompt.reports.protocols.groups import (
    GROUPS,
    PARAMS,
    groups_of,
    shared_sets,
    title_of_group,
    whole,
    wins_of,
)
from clipprompt.reports.protocols.papers.found import Papers, paper_notes
from clipprompt.reports.protocols.papers.printed import UNLIKE, Printed
from clipprompt.reports.protocols.rows import Place, ProtocolTable

_STUDY = "Visual Prompt Tuning's Table"
_ACCURACY = {"fgvc": "fgvc", **{group: f"vtab_{group}" for group in GROUPS if group != "fgvc"}}
"""Groups by their column of accuracies."""
_OURS = {"vpt": "vpt-pad"}
"""Methods that have another name here: prompts of convolutions."""


@dataclass(frozen=True)
class Table:
    """A table of the study, or the part of it that is of one backbone.

    Attributes:
        number: of the table.
        file: with its numbers, in ``configs/published``.
        backbone: in words.
        name: pattern of the names of such backbones here.
        weights: pattern of the names that have the study's own weights.
        only: column and value of the file's rows; None for all.
    """

    number: int
    file: str
    backbone: str
    name: str
    weights: str
    only: tuple[str, str] | None = None


_BACKBONES = "timm's ViT-B/16 (ImageNet-21k, MAE, MoCo v3), Swin-B, ConvNeXt-B and ResNet-50"
_SETS_4, _SETS_5 = "vpt_table4_mae_mocov3.csv", "vpt_table5_convnets.csv"
_VIT = r"vit_base_patch16_224\b"
_MOCO = r"vit.*base.*moco|moco.*vit.*b|\bvit-b-300ep\b"
"""The last is the name of its authors' file."""
TABLES = (
    Table(1, "vpt_table1_vit_b16_in21k.csv", "ViT-B/16, ImageNet-21k", rf"{_VIT}.*in21k$", "orig_in21k"),
    Table(
        2, "vpt_table2_swin_b_in21k.csv", "Swin-B, ImageNet-21k", r"swin_base_patch4_.*in22k$", "window7_224.ms_in22k"
    ),
    Table(4, _SETS_4, "ViT-B/16, MAE", rf"{_VIT}\.mae$", "mae", ("pretraining", "mae")),
    Table(4, _SETS_4, "ViT-B/16, MoCo v3", _MOCO, _MOCO, ("pretraining", "mocov3")),
    Table(
        *(5, _SETS_5, "ConvNeXt-B, ImageNet-21k", r"\bconvnext_base\b.*in22k$", "fb_in22k"),
        only=("backbone", "convnext_base_in21k"),
    ),
    Table(5, _SETS_5, "ResNet-50, ImageNet-1k", r"\bresnet50\b.*in1k$", "tv_in1k", ("backbone", "resnet50_in1k")),
)


def visual_tuning(table: ProtocolTable) -> Papers:
    """What the study prints for the backbone and the groups of a table.

    Args:
        table: of visual-tuning.
    """
    name = _name(table)
    study = next((one for one in TABLES if re.search(one.name, name)), None)
    groups = groups_of(table)
    if study is None or not groups:
        reason = f"they are of {_BACKBONES}" if study is None else "no set here is of its groups"
        return Papers(notes=(f"no papers' numbers beside these: {reason}",))
    reasons = {group: "; ".join(_unlike(table, study, name, group)) for group in groups}
    rows = {row.method: row for row in table.rows}
    beside, others = dict[tuple[str, Place], float](), list[Printed]()
    for paper in load_visual_tuning(study):
        alike = dict(_of(paper, [group for group in groups if not reasons[group]]))
        unlike = dict(_of(paper, [group for group in groups if reasons[group]]))
        row = rows.get(paper.method)
        if row is not None and alike:
            beside |= {(row.label, place): value for place, value in alike.items()}
        elif alike:
            others.append(replace(paper, numbers=alike))
        if unlike:
            others.append(replace(paper, numbers=unlike, compares=False))
    return Papers(beside, tuple(others), tuple(_notes(table, study, beside, reasons)))


def load_visual_tuning(study: Table) -> list[Printed]:
    """The rows of a table of the study: means in percent, wins and total params by (None, column)."""
    rows = read_published(study.file)
    source = f"{_STUDY} {study.number} (arXiv 2203.12119)"
    return [
        Printed(row["method"], _OURS.get(row["method"], row["method"]), "inductive", source, dict(_numbers(row)))
        for row in rows
        if study.only is None or row[study.only[0]] == study.only[1]
    ]


def _numbers(row: Mapping[str, str]) -> Iterator[tuple[Place, float]]:
    yield (None, PARAMS), float(row["total_params"])
    for group, column in _ACCURACY.items():
        if row.get(column):
            yield (None, group), float(row[column])
        if row.get(f"{group}_wins"):
            yield (None, wins_of(group)), float(row[f"{group}_wins"])


def _of(paper: Printed, groups: Iterable[str]) -> Iterator[tuple[Place, float]]:
    """A paper's numbers of some groups, and its size; nothing without groups that it has."""
    kept = [place for group in groups for place in ((None, group), (None, wins_of(group))) if place in paper.numbers]
    yield from ((place, paper.numbers[place]) for place in ([(None, PARAMS), *kept] if kept else []))


def _name(table: ProtocolTable) -> str:
    """Architecture and weights as timm writes them, whichever of the two fields says it."""
    tag = table.pretrained or ""
    return table.backbone if table.backbone.endswith(tag) else f"{table.backbone}.{tag}"


def _unlike(table: ProtocolTable, study: Table, name: str, group: str) -> Iterator[str]:
    """What the study's numbers of a group are of, and ours are not."""
    if not re.search(study.weights, name):
        yield f"theirs are of the weights {study.weights}, ours of {printable(name)}"
    n_sets = len(shared_sets(table.rows, group, whole(table.measured)))
    if n_sets != GROUPS[group]:
        yield f"theirs are of {title_of_group(group)}'s {GROUPS[group]} sets, ours of {n_sets}"
    if whole(table.measured) != ACCURACY:
        yield "theirs learnt from all training pictures"
    if any(record["grid"] is None for row in table.rows if row.learns for record in row.records):
        yield "their settings were chosen on val of each set"


def _notes(
    table: ProtocolTable, study: Table, beside: Mapping[tuple[str, Place], float], reasons: Mapping[str, str]
) -> Iterator[str]:
    n_tasks = sum(GROUPS.values()) if study.number == 1 else sum(GROUPS.values()) - GROUPS["fgvc"]
    source = (
        f"{_STUDY} {study.number} (arXiv 2203.12119): {study.backbone}. Its total params are of {n_tasks} sets; its "
        "learning rates, weight decays and prompt lengths were chosen on val of each"
    )
    means = {key: value for key, value in beside.items() if key[1][1] in GROUPS}
    yield from paper_notes(table, means, source)
    for reason in dict.fromkeys(reason for reason in reasons.values() if reason):
        titles = ", ".join(title_of_group(group) for group, found in reasons.items() if found == reason)
        yield f"{UNLIKE}: {titles} not comparable: {reason}"
