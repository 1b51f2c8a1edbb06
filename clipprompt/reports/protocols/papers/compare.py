"""Whether what papers print compares with a table of ours: the same backbone, shots, classes and pictures."""

from __future__ import annotations

from clipprompt.datasets.classification.specifications import SPECIFICATIONS
from clipprompt.reports.multilabel.published import same_backbone
from clipprompt.reports.protocols.rows import ProtocolTable
from clipprompt.reports.protocols.settings import Record

SHOTS = 16
_NOT_WHOLE = "not of the official size"
"""How the source of a named set ends that lacks pictures, or has too many."""


def unlike_base_to_novel(table: ProtocolTable) -> str:
    """What the papers' base-to-novel numbers are of, and this table is not; the empty string if they compare."""
    shots = {record["shots"] for record in table.records if record["trained_on"] is not None}
    if not _is_of(table, "ViT-B/16"):
        return "ViT-B/16 with the weights of openai"
    if shots - {SHOTS}:
        return f"{SHOTS} shots"
    return "the papers' own halves of the classes" if any(record["class_split"] for record in table.records) else ""


def unlike_hand_written(table: ProtocolTable) -> str:
    """The same of CoOp's numbers of hand-written sentences."""
    return "" if _is_of(table, "RN50") else "RN50 with the weights of openai"


def foreign_sets(table: ProtocolTable) -> dict[str, str]:
    """Named sets whose parts no file of CoOp's tells, or that are not whole, with what told their parts."""
    found = {record["dataset"]: record for record in table.records if record["dataset"] in SPECIFICATIONS}
    return {name: record["split_source"] for name, record in found.items() if not _is_papers(record)}


def _is_of(table: ProtocolTable, backbone: str) -> bool:
    return same_backbone(backbone, table.backbone) and table.pretrained == "openai"


def _is_papers(record: Record) -> bool:
    """Whether papers test on the same pictures, as far as a record says."""
    file, digest = (getattr(SPECIFICATIONS[record["dataset"]], key) for key in ("split_file", "split_sha256"))
    if file:
        return record["split_source"] == file and digest in ("", record["split_sha256"])
    return not record["split_source"].endswith(_NOT_WHOLE)
