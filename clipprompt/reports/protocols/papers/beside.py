"""What stands beside a table of ours: the papers' numbers where they compare, or the reason why there are none."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from clipprompt.printable import printable
from clipprompt.reports.protocols.columns import TUNING, column_of
from clipprompt.reports.protocols.papers.compare import SHOTS, foreign_sets, unlike_base_to_novel, unlike_hand_written
from clipprompt.reports.protocols.papers.found import Papers, paper_notes
from clipprompt.reports.protocols.papers.partial_labels import partial_labels
from clipprompt.reports.protocols.papers.printed import Printed, load_base_to_novel, load_hand_written
from clipprompt.reports.protocols.papers.visual_tuning import visual_tuning
from clipprompt.reports.protocols.rows import Place, ProtocolTable
from clipprompt.reports.protocols.settings import OWN, TEMPLATES, Record, hand_written, settings_of


def find_published(table: ProtocolTable) -> Papers:
    """What papers print for the numbers of a table; nothing where they do not compare, with the reason as a note."""
    if table.part != "test":
        return Papers()
    if table.protocol == "base-to-novel":
        return _base_to_novel(table)
    if table.protocol == "partial-label":
        return partial_labels(table)
    if table.protocol == TUNING:
        return visual_tuning(table)
    return _hand_written(table) if table.protocol in ("few-shot", "zero-shot") else Papers()


def _base_to_novel(table: ProtocolTable) -> Papers:
    reason = unlike_base_to_novel(table)
    if reason:
        return _none(f"they are of {reason}")
    foreign = foreign_sets(table)
    averaged = () if foreign.keys() & set(table.averaged) else table.averaged
    shown = {*table.datasets, *([None] if len(averaged) > 1 else [])} - foreign.keys()
    papers = [paper for paper in load_base_to_novel(averaged) if any(name in shown for name, _ in paper.numbers)]
    beside = {
        (row.label, place): value
        for row in table.rows
        for paper in papers
        if paper.method == row.method and not row.is_control
        for place, value in paper.numbers.items()
        if place in row.numbers and place[0] in shown
    }
    notes = tuple(_foreign_notes(foreign))
    if not beside:
        return Papers(notes=notes) if notes else _none("none of the sets or methods is theirs")
    ours = {row.method for row in table.rows}
    others = tuple(replace(paper, numbers=_only(paper, shown)) for paper in papers if paper.method not in ours)
    sources = "; ".join(dict.fromkeys(paper.source for paper in papers))
    source = f"{sources}. ViT-B/16, 16 shots, the papers' settings"
    return Papers(beside, others, (*paper_notes(table, beside, source), *notes))


def _only(paper: Printed, shown: Collection[str | None]) -> dict[Place, float]:
    return {place: value for place, value in paper.numbers.items() if place[0] in shown}


def _hand_written(table: ProtocolTable) -> Papers:
    """CoOp's Figure 1 (arXiv 2109.01134): sentences by hand, and sixteen learnt vectors, with RN50."""
    reason = unlike_hand_written(table)
    if reason:
        return _none(f"they are of {reason}")
    foreign = foreign_sets(table)
    printed = {key: value for key, value in load_hand_written().items() if key[0] not in foreign}
    beside = {
        (row.label, (record["dataset"], column_of(record))): printed[record["dataset"], _prompt(record)]
        for row in table.rows
        for record in row.records
        if (record["dataset"], _prompt(record)) in printed
    }
    notes = tuple(_foreign_notes(foreign))
    if not beside:
        return Papers(notes=notes) if notes else _none("none of the sets or prompts is theirs")
    return Papers(beside, (), (*paper_notes(table, beside, "CoOp's Figure 1 (arXiv 2109.01134); RN50"), *notes))


def _prompt(record: Record) -> str:
    """What Figure 1 calls the prompt of a record; the empty string for what it does not have."""
    options = record["options"]
    if record["method"] == "zero_shot":
        given = settings_of(record).get(TEMPLATES)
        (sentence,) = given if isinstance(given, list) and len(given) == 1 else ("",)
        known = hand_written(record["dataset"]) if sentence == OWN else str(sentence)
        return known.replace("{}", "[CLASS]") if not options.get("learner.centre") else ""
    is_printed = record["method"] == "coop" and options.get("learner.n_ctx") == 16 and options.get("train.epochs") != 0
    return "learnt, 16 contexts" if is_printed and record["shots"] == SHOTS else ""


def _foreign_notes(foreign: Mapping[str, str]) -> Iterator[str]:
    for name, source in foreign.items():
        yield f"no paper's number beside {name}: its pictures are not theirs ({printable(source)})"


def _none(reason: str) -> Papers:
    return Papers(notes=(f"no papers' numbers beside these: {reason}",))
