"""TaI-DPT's Table 3 (arXiv 2211.12739) beside partial-label: mAP over the share of labels that was known.

Its lines stand beside any table of its sets, since there is nothing else to look at, and are marked where they are of
another backbone, picture size or other pictures, or where our row of the same method learnt with other settings.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from clipprompt.datasets.specifications import SPECIFICATIONS
from clipprompt.reports.multilabel.published import same_backbone
from clipprompt.reports.protocols.papers.found import Papers, paper_notes
from clipprompt.reports.protocols.papers.printed import UNLIKE, Printed, load_partial_labels
from clipprompt.reports.protocols.rows import MethodRow, Place, ProtocolTable, picture_size
from clipprompt.reports.protocols.settings import Record

_BACKBONE, _WEIGHTS, _SIZE = "RN101", "openai", 448
_TESTED = {"voc2007": "test", "coco2014": "val", "nuswide": "test"}
_SOURCE = (
    f"TaI-DPT's Table 3 (arXiv 2211.12739): {_BACKBONE}, {_SIZE} px. There, VOC's difficult objects are negatives, and "
    "the epoch is the best on the pictures that are tested; here unknown labels are left out, and no test picture "
    "selects anything"
)


PAPER: dict[str, dict[str, Any]] = {
    "dualcoop": {
        "learner.negative": True,
        "learner.n_ctx": 16,
        "learner.class_specific": True,
        "train.epochs": 50,
    },
    "tai_dpt": {"learner.n_ctx": 16, "learner.class_specific": False, "train.epochs": 20},
}
"""Settings of the paper's rows, by the options of our records."""


def partial_labels(table: ProtocolTable) -> Papers:
    """What the paper prints for the sets of a table, in the columns that it has.

    Args:
        table: of partial-label.
    """
    of_sets = {name: _unlike(table, name) for name in table.datasets if name in _TESTED}
    beside, others, told = dict[tuple[str, Place], float](), list[Printed](), list(of_sets.values())
    for paper in load_partial_labels():
        rows = [row for row in table.rows if row.method == paper.method and _is_of_papers(row)]
        differences = {(row.label, name): _differences(row, name) for row in rows for name in of_sets}
        reasons = {name: of_sets[name] or _unless_alike(rows, differences, name) for name in of_sets}
        told += reasons.values()
        alike, unlike = (
            _of_sets(paper, table, [name for name in reasons if bool(reasons[name]) == is_unlike])
            for is_unlike in (False, True)
        )
        beside |= {
            (row.label, place): value
            for row in rows
            for place, value in alike.items()
            if place in row.numbers and not differences[row.label, str(place[0])]
        }
        others += [replace(paper, numbers=alike)] if not rows else []
        others.append(replace(paper, numbers=unlike, compares=False))
    shown = tuple(paper for paper in others if paper.numbers)
    return Papers(beside, shown, tuple(_notes(table, beside, told))) if beside or shown else Papers()


def _is_of_papers(row: MethodRow) -> bool:
    """Whether it learnt from what the paper's rows did: DualCoOp from pictures alone."""
    return bool(row.records[0]["members"]) or row.records[0]["learns_from"] == "images"


def _unless_alike(rows: Sequence[MethodRow], differences: Mapping[tuple[str, str], str], dataset: str) -> str:
    """What tells our rows of a method from the paper's on a set; the empty string if one is alike, or none is there."""
    found = [differences[row.label, dataset] for row in rows if any(name == dataset for name, _ in row.numbers)]
    return "; ".join(dict.fromkeys(found)) if all(found) else ""


def _differences(row: MethodRow, dataset: str) -> str:
    """Settings of a row that are recorded and not the paper's, in words."""
    records = [record for record in row.records if record["dataset"] == dataset]
    told = list(dict.fromkeys(words for record in records for words in _unlike_paper(record)))
    return f"{row.label} has {', '.join(told)}" if told else ""


def _unlike_paper(record: Record) -> Iterator[str]:
    if record["shots"] is not None:
        yield f"shots={record['shots']} (theirs: all pictures)"
    for member in record["members"] or [record["method"]]:
        before = f"{member}: " if record["members"] else ""
        for key, theirs in PAPER.get(member, {}).items():
            ours = record["options"].get(before + key, theirs)
            if ours != theirs:
                yield f"{before}{key}={json.dumps(ours)} (theirs: {json.dumps(theirs)})"


def _of_sets(paper: Printed, table: ProtocolTable, names: Collection[str]) -> dict[Place, float]:
    return {
        (name, column): value
        for (name, column), value in paper.numbers.items()
        if name in names and column in table.columns
    }


def _unlike(table: ProtocolTable, dataset: str) -> str:
    """What the paper's numbers of a set are of, and ours are not; the empty string if they compare."""
    if not same_backbone(_BACKBONE, table.backbone) or table.pretrained != _WEIGHTS or picture_size(table) != _SIZE:
        return f"theirs are of {_BACKBONE} with the weights of {_WEIGHTS} at {_SIZE} px"
    official = SPECIFICATIONS[dataset].splits[_TESTED[dataset]]
    tested = {record["n_images"] for record in table.records if record["dataset"] == dataset}
    return "" if tested == {official} else f"theirs are of all {official:,} pictures of {dataset}'s test split"


def _notes(table: ProtocolTable, beside: Mapping[tuple[str, Place], float], reasons: Iterable[str]) -> Iterator[str]:
    yield from paper_notes(table, beside, _SOURCE)
    for reason in dict.fromkeys(filter(None, reasons)):
        yield f"{UNLIKE}: not comparable: {reason}"
