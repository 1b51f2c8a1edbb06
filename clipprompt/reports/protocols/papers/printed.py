"""What papers print, as their files hold it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean

from clipprompt.datasets.classification.specifications import ELEVEN
from clipprompt.evaluation.accuracy import harmonic_mean
from clipprompt.reports.multilabel.published import read_published
from clipprompt.reports.protocols.columns import AVERAGE, BASE, HM, NOVEL, SHARES
from clipprompt.reports.protocols.rows import Place

_SETS, _AVERAGES, _HAND, _PARTIAL = (
    "maple_table3_base_to_novel.csv",
    "base_to_novel_averages_vit_b16.csv",
    "coop_hand_prompts.csv",
    "tai_dpt_table3.csv",
)
_TABLE_3, _OWN_PAPERS = "MaPLe's Table 3 (arXiv 2210.03117)", "the methods' own papers (averages alone)"
_TAI_TABLE_3 = "TaI-DPT's Table 3 (arXiv 2211.12739)"
_OURS = {"DualCoOp + TaI-DPT": "dualcoop+tai_dpt"}
UNLIKE = "‡"
"""Marks what stands beside ours and does not compare with it."""
_COLUMNS = {BASE: "base", NOVEL: "novel", HM: "harmonic_mean"}


@dataclass(frozen=True)
class Printed:
    """A row of a paper.

    Attributes:
        name: as the paper prints it.
        method: the same method's name here, whether there is one or not.
        setting: inductive or transductive.
        source: where it is printed.
        numbers: in percent by (data set, column); the data set None is the average.
        compares: whether they were measured as ours were.
    """

    name: str
    method: str
    setting: str
    source: str
    numbers: Mapping[Place, float]
    compares: bool = True

    @property
    def title(self) -> str:
        """Its name, its setting if that is not inductive, and a mark if it does not compare."""
        setting = "" if self.setting == "inductive" else f" ({self.setting})"
        return self.name + setting + ("" if self.compares else f" {UNLIKE}")

    @property
    def label(self) -> str:
        """The same for where nothing else says that it is a paper's."""
        return f"{self.title} (paper)"


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


def load_hand_written() -> dict[tuple[str, str], float]:
    """CoOp's Figure 1 (arXiv 2109.01134): accuracy in percent by data set and prompt, with RN50."""
    return {(row["dataset"], row["prompt"]): float(row["accuracy"]) for row in read_published(_HAND)}


def load_partial_labels() -> list[Printed]:
    """TaI-DPT's Table 3 (arXiv 2211.12739): mAP in percent with 10 % to 90 % of the labels known, and the average."""
    by_name: dict[str, dict[Place, float]] = {}
    for row in read_published(_PARTIAL):
        numbers = by_name.setdefault(row["method"], {})
        numbers |= {(row["dataset"], column): float(row[column]) for column in (*SHARES, AVERAGE)}
    return [
        Printed(
            name.replace(" (reproduced)", ", reproduced"),
            _OURS.get(name, name.lower()),
            "inductive",
            _TAI_TABLE_3,
            numbers,
        )
        for name, numbers in by_name.items()
    ]


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


def _stem(name: str) -> str:
    """Our name of a method: CLIP by itself is ``zero_shot``, any other is its own in small letters."""
    return "zero_shot" if name == "CLIP" else name.lower()
