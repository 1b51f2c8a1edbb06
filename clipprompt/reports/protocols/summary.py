"""Records of protocols as tables of numbers: methods by data sets, mean and deviation over runs, and averages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from clipprompt.datasets.classification.specifications import SPECIFICATIONS
from clipprompt.evaluation.accuracy import harmonic_mean
from clipprompt.reports.protocols._variants import Variant, variants
from clipprompt.reports.protocols.comparable import OF_A_TABLE, Record, Run, comparable, distinct_records, run_of
from clipprompt.reports.protocols.notes import describe_notes
from clipprompt.reports.protocols.rows import (
    BASE,
    HM,
    NOVEL,
    PROTOCOLS,
    MethodRow,
    Number,
    Place,
    ProtocolTable,
    column_of,
)

_DATASETS = tuple(SPECIFICATIONS)


def summarise_protocols(records: Sequence[Record], sources: Sequence[str] | None = None) -> list[ProtocolTable]:
    """All tables of some records; their order does not matter.

    Args:
        records: classification records, of any protocols.
        sources: where each was read, for errors.

    Raises:
        UserError: if one run has two accuracies on one test set.
    """
    groups = sorted(comparable(distinct_records(records, sources)), key=lambda group: _protocol_order(group[0]))
    tables = list[ProtocolTable]()
    for group in groups:
        tables.append(_table(group, tables))
    return tables


def _table(records: list[Record], before: Sequence[ProtocolTable]) -> ProtocolTable:
    source = _source(records)
    datasets = sorted({record["dataset"] for record in records}, key=lambda name: _dataset_order(name, source))
    measured = sorted({column_of(record) for record in records}, key=_column_order)
    rows = [_row(variant) for variant in variants(records)]
    averaged = [name for name in datasets if name != source and all(_has_all(row, name, measured) for row in rows)]
    table = ProtocolTable(
        **{key: records[0][key] for key in OF_A_TABLE},
        source=source,
        datasets=tuple(datasets),
        averaged=tuple(averaged),
        columns=(*measured, HM) if {BASE, NOVEL} <= set(measured) else tuple(measured),
        rows=tuple(_with_averages(row, averaged, measured) for row in rows),
        notes=(),
        records=tuple(records),
    )
    return replace(table, notes=tuple(describe_notes(table, before)))


def _row(variant: Variant) -> MethodRow:
    values: dict[Place, dict[Run, float]] = defaultdict(dict)
    for record in variant.records:
        values[record["dataset"], column_of(record)][run_of(record)] = 100 * record["accuracy"]
    first = variant.records[0]
    return MethodRow(
        method=variant.method,
        label=variant.label,
        setting=first["setting"],
        learns=first["trained_on"] is not None,
        is_control=first["options"].get("train.epochs") == 0,
        numbers=_with_harmonic_means({place: _over_runs(runs) for place, runs in values.items()}),
        records=variant.records,
    )


def _over_runs(values: Mapping[Run, float]) -> Number:
    return Number(fmean(values.values()), {run: values[run] for run in sorted(values, key=_run_order)})


def _with_averages(row: MethodRow, averaged: Sequence[str], columns: Sequence[str]) -> MethodRow:
    """Averages stand only where there is more than one set to average over."""
    numbers = dict(row.numbers)
    for column in columns if len(averaged) > 1 else ():
        found = [numbers[name, column] for name in averaged if (name, column) in numbers]
        if found:
            numbers[None, column] = _average(found)
    return replace(row, numbers=_with_harmonic_means(numbers))


def _average(numbers: Sequence[Number]) -> Number:
    runs = [run for run in numbers[0].values if all(run in number.values for number in numbers)]
    values = {run: fmean(number.values[run] for number in numbers) for run in runs}
    return Number(fmean(number.mean for number in numbers), values)


def _with_harmonic_means(numbers: Mapping[Place, Number]) -> dict[Place, Number]:
    """Adds HM wherever base and novel are there, from the same runs."""
    found = dict(numbers)
    for dataset in dict.fromkeys(dataset for dataset, _ in numbers):
        base, novel = numbers.get((dataset, BASE)), numbers.get((dataset, NOVEL))
        if base and novel and base.values.keys() == novel.values.keys():
            values = {run: harmonic_mean(base.values[run], novel.values[run]) for run in base.values}
            found[dataset, HM] = Number(harmonic_mean(base.mean, novel.mean), values)
    return found


def _has_all(row: MethodRow, dataset: str, columns: Iterable[str]) -> bool:
    """Whether a row has, on this set, every column that it has on any."""
    anywhere = {column for _, column in row.numbers}
    return all((dataset, column) in row.numbers for column in columns if column in anywhere)


def _source(records: Sequence[Record]) -> str | None:
    """Where one set is learnt and others are tested; where nothing was learnt, there is none."""
    if records[0]["protocol"] not in ("cross-dataset", "domain"):
        return None
    return next((str(record["trained_on"]) for record in records if record["trained_on"] is not None), None)


def _run_order(run: Run) -> tuple[int, int]:
    return run[0], -1 if run[1] is None else run[1]


def _protocol_order(record: Record) -> int:
    return PROTOCOLS.index(record["protocol"])


def _dataset_order(name: str, source: str | None) -> tuple[bool, int, str]:
    return name != source, _DATASETS.index(name) if name in _DATASETS else len(_DATASETS), name


def _column_order(column: str) -> tuple[int, str]:
    """Base before novel, shots by number and all of them last."""
    return (int(column), "") if column.isdigit() else (1 << 30, column)
