"""Average precision of single classes, over the runs of a row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean

from clipprompt.reports.protocols.columns import MULTILABEL, NOTHING_LEARNT, amount, column_of, title_of
from clipprompt.reports.protocols.rows import MethodRow, ProtocolTable
from clipprompt.reports.protocols.settings import Record


@dataclass(frozen=True)
class ClassTable:
    """The classes of a set in one column of a table, the easiest first.

    Attributes:
        dataset: its name.
        column: of the table.
        title: what the column is of, in words.
        n_positive: tested pictures that have a class, by its name.
        rows: average precision in percent by class, for each row that has any, by its label.
    """

    dataset: str
    column: str
    title: str
    n_positive: Mapping[str, int]
    rows: Mapping[str, Mapping[str, float]]


def class_tables(table: ProtocolTable) -> Iterator[ClassTable]:
    """By data set, for the fewest and for the most shots or labels, and for each column that is no amount.

    What learnt from no picture stands in all of them.

    Args:
        table: of any protocol; one of pictures with one class each has none.
    """
    for dataset in table.datasets if table.protocol in MULTILABEL else ():
        for column in _columns(table, dataset):
            found = _class_table(table, dataset, column)
            if found.rows:
                yield found


def _columns(table: ProtocolTable, dataset: str) -> list[str]:
    there = {column_of(record) for record in table.records if record["dataset"] == dataset}
    columns = [column for column in table.measured if column in there and column != NOTHING_LEARNT]
    amounts = [column for column in columns if amount(column)]
    return [column for column in columns if column not in amounts[1:-1]] or [NOTHING_LEARNT]


def _class_table(table: ProtocolTable, dataset: str, column: str) -> ClassTable:
    by_row = {row.label: _records(row, dataset, column) for row in table.rows}
    rows = {label: _means(records) for label, records in by_row.items() if records}
    some = next(record for records in by_row.values() for record in records)
    counts = dict(zip(some["classnames"], some["n_positive"], strict=True))
    values = {name: [found[name] for found in rows.values() if name in found] for name in counts}
    order = sorted((name for name in counts if values[name]), key=lambda name: (-fmean(values[name]), name))
    return ClassTable(dataset, column, _title(table, column), {name: counts[name] for name in order}, rows)


def _title(table: ProtocolTable, column: str) -> str:
    words = title_of(column, table.protocol)
    if table.protocol == "multilabel-zero-shot":
        return words.replace(" mAP", " classes")
    if column == NOTHING_LEARNT:
        return "no picture learnt from"
    return f"{words} of labels known" if table.protocol == "partial-label" and amount(column) else words


def _records(row: MethodRow, dataset: str, column: str) -> list[Record]:
    """Those of a column; of a row that has it nowhere, those that learnt from no picture."""
    here = [record for record in row.records if record["dataset"] == dataset]
    return [record for record in here if column_of(record) == column] or [
        record for record in here if column_of(record) == NOTHING_LEARNT
    ]


def _means(records: list[Record]) -> dict[str, float]:
    values: dict[str, list[float]] = defaultdict(list)
    for record in records:
        for name, precision in zip(record["classnames"], record["average_precision"], strict=True):
            if precision is not None:
                values[name].append(100 * precision)
    return {name: fmean(found) for name, found in values.items()}
