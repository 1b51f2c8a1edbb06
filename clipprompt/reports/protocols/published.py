"""Numbers of protocols that papers print, to stand beside our own where they compare."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from statistics import fmean

from clipprompt.datasets.classification.specifications import ELEVEN, SPECIFICATIONS
from clipprompt.evaluation.accuracy import harmonic_mean
from clipprompt.printable import printable
from clipprompt.reports.multilabel.published import read_published, same_backbone
from clipprompt.reports.protocols.comparable import OWN, TEMPLATES, Record, hand_written, settings_of
from clipprompt.reports.protocols.rows import BASE, HM, NOVEL, Number, Place, ProtocolTable, column_of

_SETS, _AVERAGES, _HAND = (
    "maple_table3_base_to_novel.csv",
    "base_to_novel_averages_vit_b16.csv",
    "coop_hand_prompts.csv",
)
_TABLE_3, _OWN_PAPERS = "MaPLe's Table 3 (arXiv 2210.03117)", "the methods' own papers (averages alone)"
_COLUMNS = {BASE: "base", NOVEL: "novel", HM: "harmonic_mean"}
_ROUNDING = 0.005
"""Papers print two decimals."""
_SHOTS = 16
_NOT_WHOLE = "not of the official size"
"""How the source of a named set ends that lacks pictures, or has too many."""


@dataclass(frozen=True)
class Printed:
    """A row of a paper.

    Attributes:
        name: as the paper prints it.
        method: the same method's name here, whether there is one or not.
        setting: inductive or transductive.
        source: where it is printed.
        numbers: in percent by (data set, column); the data set None is the average.
    """

    name: str
    method: str
    setting: str
    source: str
    numbers: Mapping[Place, float]

    @property
    def title(self) -> str:
        """Its name, and its setting if that is not inductive."""
        return self.name if self.setting == "inductive" else f"{self.name} ({self.setting})"

    @property
    def label(self) -> str:
        """The same for where nothing else says that it is a paper's."""
        return f"{self.title} (paper)"


@dataclass(frozen=True)
class Papers:
    """What papers print for a table of ours.

    Attributes:
        beside: in percent by label of our row, and place in it.
        others: rows that none of ours answers to.
        notes: what they are, or why there are none.
    """

    beside: Mapping[tuple[str, Place], float] = field(default_factory=dict)
    others: tuple[Printed, ...] = ()
    notes: tuple[str, ...] = ()


def find_published(table: ProtocolTable) -> Papers:
    """What papers print for the numbers of a table; nothing where they do not compare, with the reason as a note."""
    if table.part != "test":
        return Papers()
    if table.protocol == "base-to-novel":
        return _base_to_novel(table)
    return _hand_written(table) if table.protocol in ("few-shot", "zero-shot") else Papers()


def differs(number: Number, printed: float) -> bool:
    """Whether a printed number lies more than two of our standard deviations away; of one run this cannot be said."""
    return number.std is not None and abs(number.mean - printed) > 2 * number.std + _ROUNDING


def load_base_to_novel(averaged: tuple[str, ...] = ELEVEN) -> list[Printed]:
    """MaPLe's Table 3 (arXiv 2210.03117), and the averages over eleven sets that other papers print.

    Args:
        averaged: sets of an average. For fewer than eleven it is computed from the rows of Table 3: mean of base, mean
            of novel, and their harmonic mean; the other papers' averages are left out.
    """
    by_name: dict[str, dict[Place, float]] = {}
    for row in read_published(_SETS):
        dataset = None if row["dataset"] == "average" else row["dataset"]
        numbers = {(dataset, column): float(row[title]) for column, title in _COLUMNS.items()}
        by_name.setdefault(row["method"], {}).update(numbers)
    source, is_whole = _TABLE_3, set(averaged) == set(ELEVEN)
    if not is_whole:
        by_name = {name: _averaged(numbers, averaged) for name, numbers in by_name.items()}
        source += ", averaged over the same sets" if len(averaged) > 1 else ""
    table_3 = [Printed(name, _stem(name), "inductive", source, numbers) for name, numbers in by_name.items()]
    return table_3 + [row for row in _averages() if is_whole and row.name not in by_name]


def _averages() -> Iterator[Printed]:
    for row in read_published(_AVERAGES):
        numbers: dict[Place, float] = {(None, column): float(row[title]) for column, title in _COLUMNS.items()}
        yield Printed(row["method"], _stem(row["method"]), row["setting"], _OWN_PAPERS, numbers)


def _averaged(numbers: Mapping[Place, float], datasets: tuple[str, ...]) -> dict[Place, float]:
    """Numbers of the sets, with the average over some of them in place of the printed one."""
    found = {place: value for place, value in numbers.items() if place[0] is not None}
    if len(datasets) > 1 and all((name, BASE) in found for name in datasets):
        base, novel = (fmean(found[name, column] for name in datasets) for column in (BASE, NOVEL))
        found |= {(None, BASE): base, (None, NOVEL): novel, (None, HM): harmonic_mean(base, novel)}
    return found


def _base_to_novel(table: ProtocolTable) -> Papers:
    reason = _unlike(table)
    if reason:
        return _none(f"they are of {reason}")
    foreign = _foreign_sets(table)
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
    return Papers(beside, others, (*_notes(table, beside, source), *notes))


def _only(paper: Printed, shown: Collection[str | None]) -> dict[Place, float]:
    return {place: value for place, value in paper.numbers.items() if place[0] in shown}


def _foreign_sets(table: ProtocolTable) -> dict[str, str]:
    """Named sets whose parts no file of CoOp's tells, or that are not whole, with what told their parts."""
    found = {record["dataset"]: record for record in table.records if record["dataset"] in SPECIFICATIONS}
    return {name: record["split_source"] for name, record in found.items() if not _is_papers(record)}


def _is_papers(record: Record) -> bool:
    """Whether papers test on the same pictures, as far as a record says."""
    file, digest = (getattr(SPECIFICATIONS[record["dataset"]], key) for key in ("split_file", "split_sha256"))
    if file:
        return record["split_source"] == file and digest in ("", record["split_sha256"])
    return not record["split_source"].endswith(_NOT_WHOLE)


def _foreign_notes(foreign: Mapping[str, str]) -> Iterator[str]:
    for name, source in foreign.items():
        yield f"no paper's number beside {name}: its pictures are not theirs ({printable(source)})"


def _none(reason: str) -> Papers:
    return Papers(notes=(f"no papers' numbers beside these: {reason}",))


def _unlike(table: ProtocolTable) -> str:
    """What the papers' base-to-novel numbers are of, and this table is not."""
    shots = {record["shots"] for record in table.records if record["trained_on"] is not None}
    if not same_backbone("ViT-B/16", table.backbone) or table.pretrained != "openai":
        return "ViT-B/16 with the weights of openai"
    if shots - {_SHOTS}:
        return f"{_SHOTS} shots"
    return "the papers' own halves of the classes" if any(record["class_split"] for record in table.records) else ""


def _hand_written(table: ProtocolTable) -> Papers:
    """CoOp's Figure 1 (arXiv 2109.01134): sentences by hand, and sixteen learnt vectors, with RN50."""
    if not same_backbone("RN50", table.backbone) or table.pretrained != "openai":
        return _none("they are of RN50 with the weights of openai")
    foreign = _foreign_sets(table)
    lines = [row for row in read_published(_HAND) if row["dataset"] not in foreign]
    printed = {(row["dataset"], row["prompt"]): float(row["accuracy"]) for row in lines}
    beside = {
        (row.label, (record["dataset"], column_of(record))): printed[record["dataset"], _prompt(record)]
        for row in table.rows
        for record in row.records
        if (record["dataset"], _prompt(record)) in printed
    }
    notes = tuple(_foreign_notes(foreign))
    if not beside:
        return Papers(notes=notes) if notes else _none("none of the sets or prompts is theirs")
    return Papers(beside, (), (*_notes(table, beside, "CoOp's Figure 1 (arXiv 2109.01134); RN50"), *notes))


def _prompt(record: Record) -> str:
    """What Figure 1 calls the prompt of a record; the empty string for what it does not have."""
    options = record["options"]
    if record["method"] == "zero_shot":
        given = settings_of(record).get(TEMPLATES)
        (sentence,) = given if isinstance(given, list) and len(given) == 1 else ("",)
        known = hand_written(record["dataset"]) if sentence == OWN else str(sentence)
        return known.replace("{}", "[CLASS]") if not options.get("learner.centre") else ""
    is_printed = record["method"] == "coop" and options.get("learner.n_ctx") == 16 and options.get("train.epochs") != 0
    return "learnt, 16 contexts" if is_printed and record["shots"] == _SHOTS else ""


def _notes(table: ProtocolTable, beside: Mapping[tuple[str, Place], float], source: str) -> Iterator[str]:
    yield f"paper: as printed in {source}"
    numbers = {(row.label, place): number for row in table.rows for place, number in row.numbers.items()}
    if any(differs(numbers[key], value) for key, value in beside.items()):
        yield "*: more than two of our standard deviations from the paper's number"
    if any(numbers[key].std is None for key in beside):
        yield "a row of a single run has no deviation, and no *"


def _stem(name: str) -> str:
    """Our name of a method: CLIP by itself is ``zero_shot``, any other is its own in small letters."""
    return "zero_shot" if name == "CLIP" else name.lower()
