"""TaI-DPT's Table 3 (arXiv 2211.12739) beside partial-label: mAP over the share of labels that was known.

Its lines stand beside any table of its sets, since there is nothing else to look at, and are marked where they are of
another backbone, picture size or other pictures.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from clipprompt.datasets.specifications import SPECIFICATIONS
from clipprompt.reports.multilabel.published import same_backbone
from clipprompt.reports.protocols.papers.found import Papers, paper_notes
from clipprompt.reports.protocols.papers.printed import UNLIKE, Printed, load_partial_labels
from clipprompt.reports.protocols.rows import MethodRow, Place, ProtocolTable, picture_size

_BACKBONE, _WEIGHTS, _SIZE = "RN101", "openai", 448
_TESTED = {"voc2007": "test", "coco2014": "val", "nuswide": "test"}
_SOURCE = (
    f"TaI-DPT's Table 3 (arXiv 2211.12739): {_BACKBONE}, {_SIZE} px. There, VOC's difficult objects are negatives, and "
    "the epoch is the best on the pictures that are tested; here unknown labels are left out, and no test picture "
    "selects anything"
)


def partial_labels(table: ProtocolTable) -> Papers:
    """What the paper prints for the sets of a table, in the columns that it has.

    Args:
        table: of partial-label.
    """
    reasons = {name: _unlike(table, name) for name in table.datasets if name in _TESTED}
    beside, others = dict[tuple[str, Place], float](), list[Printed]()
    for paper in load_partial_labels():
        alike, unlike = (
            _of_sets(paper, table, [name for name in reasons if bool(reasons[name]) == is_unlike])
            for is_unlike in (False, True)
        )
        rows = [row for row in table.rows if row.method == paper.method and _is_of_papers(row)]
        beside |= {(row.label, place): value for row in rows for place, value in alike.items() if place in row.numbers}
        others += [replace(paper, numbers=alike)] if not rows else []
        others.append(replace(paper, numbers=unlike, compares=False))
    shown = tuple(paper for paper in others if paper.numbers)
    return Papers(beside, shown, tuple(_notes(table, beside, reasons))) if beside or shown else Papers()


def _is_of_papers(row: MethodRow) -> bool:
    """Whether it learnt what the paper's rows did: from all pictures, and DualCoOp from these alone."""
    first = row.records[0]
    learns_all = not row.is_control and first["shots"] is None
    return learns_all and (bool(first["members"]) or first["learns_from"] == "images")


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


def _notes(
    table: ProtocolTable, beside: Mapping[tuple[str, Place], float], reasons: Mapping[str, str]
) -> Iterator[str]:
    yield from paper_notes(table, beside, _SOURCE)
    for reason in dict.fromkeys(filter(None, reasons.values())):
        yield f"{UNLIKE}: not comparable: {reason}"
