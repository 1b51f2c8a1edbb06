"""What a reader must know of a table whose pictures have several classes, in sentences."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from clipprompt.printable import printable
from clipprompt.reports.protocols.columns import AVERAGE, NOTHING_LEARNT, SHARES, column_of, learns, ordered, title_of
from clipprompt.reports.protocols.rows import MethodRow, ProtocolTable
from clipprompt.reports.protocols.settings import SETTING, TRANSDUCTIVE, Record

_MAP = "mAP: the mean of the classes' average precision; test labels that are unknown{} count nowhere"
_DIFFICULT = ", such as VOC's difficult objects,"
_SEEN = (
    "seen: the classes that were learnt; unseen: the others by themselves; all: both at once (generalised zero-shot)"
)
_F1 = "F1@3: of the 3 best labels of every picture, over all pictures and classes (OF1)"


def describe_multilabel(table: ProtocolTable) -> Iterator[str]:
    """The notes on measures, columns, ensembles and held-out pictures."""
    yield _MAP.format(_DIFFICULT if any(name.startswith("voc") for name in table.datasets) else "")
    if table.protocol == "multilabel-zero-shot":
        yield from (_SEEN, _F1)
    if table.protocol == "partial-label":
        yield from _columns(table)
    captions = sorted({record["corpus"] for record in table.records if record["corpus"] is not None})
    if captions:
        yield f"captions that were learnt from: {printable(', '.join(captions))}"
    for row in table.rows:
        if row.records[0]["members"]:
            yield f"{row.label}: {printable('; '.join(_weights(row, table)))}"
    yield from _kept_epochs(table)


def _columns(table: ProtocolTable) -> Iterator[str]:
    if NOTHING_LEARNT in table.columns:
        yield "0%: no picture was learnt from"
    if AVERAGE in table.columns:
        yield f"average: of {SHARES[0]}% to {SHARES[-1]}%"


def _weights(row: MethodRow, table: ProtocolTable) -> Iterator[str]:
    """The weights of an ensemble; those of columns that are transductive, while the row is not, by themselves."""
    apart = [record for record in row.records if record[SETTING] == TRANSDUCTIVE != row.setting]
    yield _of_runs([record for record in row.records if record not in apart], table)
    if apart:
        columns = ", ".join(title_of(column, table.protocol) for column in ordered(map(column_of, apart)))
        yield f"{columns}: {_of_runs(apart, table)}, scaled by the tested scores ({TRANSDUCTIVE})"


def _of_runs(records: Sequence[Record], table: ProtocolTable) -> str:
    """The range of each member's weight over runs, and by what rule they were chosen."""
    ranges = [_range(list(values)) for values in zip(*(record["weights"] for record in records), strict=True)]
    rules = sorted({re.sub(r" \(.*\)$", "", _rule(record, "weights_by", table)) for record in records} - {""})
    chosen = f" ({'; '.join(rules)})" if rules else ""
    return ", ".join(f"{share} of {name}" for share, name in zip(ranges, records[0]["members"], strict=True)) + chosen


def _rule(record: Record, key: str, table: ProtocolTable) -> str:
    """By what something was chosen, in the same words for all sets."""
    rule = str(record[key] or "")
    names = {record["dataset"], record["trained_on"]} - {None} if len(table.datasets) > 1 else set()
    return re.sub(rf" ({'|'.join(map(re.escape, names))}):", " {dataset}:", rule) if names else rule


def _range(values: list[float]) -> str:
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return low if low == high else f"{low} to {high}"


def _kept_epochs(table: ProtocolTable) -> Iterator[str]:
    """By which pictures or captions an epoch was kept; never by those that are tested on."""
    rules: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in table.rows:
        for record in row.records:
            if learns(record) and not record["members"]:
                rules[_rule(record, "selection", table)][row.label].add(column_of(record))
    labels = [label for rows in rules.values() for label in rows]
    told = [
        f"{rule} ({', '.join(_where(table, label, rows[label], labels) for label in rows)})"
        for rule, rows in sorted(rules.items())
    ]
    if told:
        yield printable(f"epoch that was kept: {'; '.join(told)}")


def _where(table: ProtocolTable, label: str, columns: set[str], labels: list[str]) -> str:
    """A row, and its columns where another rule held in others."""
    if labels.count(label) == 1:
        return label
    return f"{label}: {' '.join(title_of(column, table.protocol) for column in ordered(columns))}"
