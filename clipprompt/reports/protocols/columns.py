"""What a record measures, and in which columns of its protocol's table it stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

MULTILABEL = ("partial-label", "few-shot-multilabel", "multilabel-zero-shot")
"""Protocols whose pictures have several classes: mAP in place of accuracy."""
TUNING = "visual-tuning"
PROTOCOLS = ("base-to-novel", "few-shot", "cross-dataset", "domain", "zero-shot", *MULTILABEL, TUNING)
BY_SHOTS = ("few-shot", "few-shot-multilabel")
"""Protocols whose columns are numbers of shots."""
BASE, NOVEL, HM, ACCURACY, AVERAGE = "base", "novel", "hm", "accuracy", "average"
NOTHING_LEARNT, EVERYTHING, SINGLE_POSITIVE = "0", "all", "single-positive"
SHARES = tuple(str(percent) for percent in range(10, 100, 10))
"""Columns that the average over shares of known labels is of, as TaI-DPT's Table 3 has it."""
DERIVED = (HM, AVERAGE)
"""Columns that no record has: they are made of others."""
_CLASSES = {"base": "seen", "novel": "unseen", "all": "all"}
"""Names of the field for what is learnt and what is not, where pictures have several classes."""
_TITLES = {BASE: "Base", NOVEL: "Novel", HM: "HM"}
_PARTIAL = {EVERYTHING: "all labels", SINGLE_POSITIVE: "single positive"}
_BEHIND_NUMBERS = 1e9


def measure_of(protocol: str) -> str:
    """What its tables measure, in words."""
    return "mAP" if protocol in MULTILABEL else "accuracy"


def learns(record: Mapping[str, Any]) -> bool:
    """Whether anything was learnt, from pictures or from captions."""
    return record["trained_on"] is not None or record.get("corpus") is not None


def numbers_of(record: Mapping[str, Any]) -> dict[str, float]:
    """What a record measures, in percent by column."""
    if record["protocol"] not in MULTILABEL:
        return {column_of(record): 100 * record["accuracy"]}
    precision = 100 * record["mean_average_precision"]
    if record["protocol"] != "multilabel-zero-shot":
        return {column_of(record): precision}
    classes = _CLASSES[record["tested_subset"]]
    return {f"{classes} mAP": precision, f"{classes} F1@3": 100 * record["at_top3"]["OF1"]}


def column_of(record: Mapping[str, Any]) -> str:
    """The column that a record belongs to; of multilabel-zero-shot, which has several, the one of mAP."""
    protocol = record["protocol"]
    if protocol == "base-to-novel":
        return str(record["tested_subset"])
    if protocol == "multilabel-zero-shot":
        return f"{_CLASSES[record['tested_subset']]} mAP"
    if protocol == "partial-label":
        return NOTHING_LEARNT if record["trained_on"] is None else _of_known(record["known"])
    if protocol == TUNING and record["share"] not in (None, 1):
        return f"{100 * record['share']:g}"
    if protocol not in BY_SHOTS:
        return ACCURACY
    if record["trained_on"] is None:
        return NOTHING_LEARNT
    return EVERYTHING if record["shots"] is None else str(record["shots"])


def _of_known(known: float | str | None) -> str:
    if known is None:
        return EVERYTHING
    return known if isinstance(known, str) else f"{100 * known:g}"


def amount(column: str) -> float | None:
    """The number that a column is of: shots, or percent of labels; None for any other, and where nothing is learnt."""
    return None if column == NOTHING_LEARNT or not is_number(column) else float(column)


def is_number(column: str) -> bool:
    """Whether a column is a number of shots or a share of labels."""
    return column.replace(".", "", 1).isdecimal()


def ordered(columns: Iterable[str]) -> tuple[str, ...]:
    """Numbers by size, then the average over them, then all else: base before novel, seen before unseen before all."""
    return tuple(sorted(set(columns), key=_rank))


def _rank(column: str) -> tuple[float, str]:
    if is_number(column):
        return float(column), ""
    if column in DERIVED:  # of shares beside them, harmonic means at the end
        return _BEHIND_NUMBERS if column == AVERAGE else 2 * _BEHIND_NUMBERS, ""
    names = [name for name in _CLASSES.values() if column.startswith(f"{name} ")]
    if names:  # mAP before F1@3
        return _BEHIND_NUMBERS + 1 + list(_CLASSES.values()).index(names[0]), "" if column.endswith("mAP") else column
    return _BEHIND_NUMBERS + 1, column


def title_of(column: str, protocol: str) -> str:
    """What stands above a column."""
    if protocol == "partial-label":
        return f"{column}%" if is_number(column) else _PARTIAL.get(column, column)
    if protocol == TUNING:
        return f"{column}%" if is_number(column) else "all pictures" if column == ACCURACY else column
    if is_number(column):
        return f"{column} shot{'' if column == '1' else 's'}"
    if column == EVERYTHING:
        return "all pictures"
    return _TITLES.get(column, column)
