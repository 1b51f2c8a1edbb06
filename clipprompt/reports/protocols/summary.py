"""Records of protocols as tables of numbers: methods by data sets, mean and deviation over runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from clipprompt.datasets.classification.specifications import SPECIFICATIONS as ONE_CLASS
from clipprompt.datasets.specifications import SPECIFICATIONS as SEVERAL_CLASSES
from clipprompt.reports.protocols._variants import Variant, variants
from clipprompt.reports.protocols.columns import PROTOCOLS, TUNING, learns, numbers_of, ordered
from clipprompt.reports.protocols.comparable import OF_A_TABLE, Run, comparable, distinct_records, run_of
from clipprompt.reports.protocols.derived import derived_columns, with_averages, with_derived
from clipprompt.reports.protocols.groups import whole, with_groups
from clipprompt.reports.protocols.notes import describe_notes
from clipprompt.reports.protocols.rows import MethodRow, Number, Place, ProtocolTable
from clipprompt.reports.protocols.settings import Record, setting_of

_FROM_THE_SET = ("tip_adapter",)
"""Learners that hold the training pictures before any epoch."""
_DATASETS = (*ONE_CLASS, *SEVERAL_CLASSES)


def summarise_protocols(records: Sequence[Record], sources: Sequence[str] | None = None) -> list[ProtocolTable]:
    """All tables of some records; their order does not matter.

    Args:
        records: of any protocols.
        sources: where each was read, for errors.

    Raises:
        UserError: if one run has two results on one test set.
    """
    groups = sorted(comparable(distinct_records(records, sources)), key=lambda group: _protocol_order(group[0]))
    tables = list[ProtocolTable]()
    for group in groups:
        tables.append(_table(group, tables))
    return tables


def _table(records: list[Record], before: Sequence[ProtocolTable]) -> ProtocolTable:
    source = _source(records)
    datasets = sorted({record["dataset"] for record in records}, key=lambda name: _dataset_order(name, source))
    measured = ordered(column for record in records for column in numbers_of(record))
    protocol = str(records[0]["protocol"])
    rows = [_row(variant) for variant in variants(records)]
    rows = [*with_groups(rows, whole(measured))] if protocol == TUNING else rows
    averaged = [name for name in datasets if name != source and all(_has_all(row, name, measured) for row in rows)]
    table = ProtocolTable(
        **{key: records[0][key] for key in OF_A_TABLE},
        source=source,
        datasets=tuple(datasets),
        averaged=tuple(averaged),
        columns=ordered([*measured, *derived_columns(protocol, measured)]),
        rows=tuple(with_averages(protocol, row, averaged, measured) for row in rows),
        notes=(),
        records=tuple(records),
    )
    return replace(table, notes=tuple(describe_notes(table, before)))


def _row(variant: Variant) -> MethodRow:
    values: dict[Place, dict[Run, float]] = defaultdict(dict)
    for record in variant.records:
        for column, percent in numbers_of(record).items():
            values[record["dataset"], column][run_of(record)] = percent
    first = variant.records[0]
    return MethodRow(
        method=variant.method,
        label=variant.label,
        setting=setting_of(variant.records),
        learns=learns(first),
        is_control=first["options"].get("train.epochs") == 0 and first.get("learner") not in _FROM_THE_SET,
        numbers=with_derived(first["protocol"], {place: _over_runs(runs) for place, runs in values.items()}),
        records=variant.records,
    )


def _over_runs(values: Mapping[Run, float]) -> Number:
    return Number(fmean(values.values()), {run: values[run] for run in sorted(values, key=_run_order)})


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
