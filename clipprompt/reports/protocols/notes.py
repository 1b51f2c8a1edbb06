"""What a reader must know of a table of a protocol, in sentences."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from clipprompt.datasets.classification.specifications import SPECIFICATIONS
from clipprompt.printable import printable
from clipprompt.reports.protocols._differences import describe_beside, describe_differences, listed
from clipprompt.reports.protocols._group_notes import describe_groups
from clipprompt.reports.protocols._multilabel_notes import describe_multilabel
from clipprompt.reports.protocols.columns import BY_SHOTS, DERIVED, HM, MULTILABEL, TUNING, is_number, measure_of
from clipprompt.reports.protocols.rows import ProtocolTable, picture_size
from clipprompt.reports.protocols.settings import PER_DATASET, Record, chosen, settings_of

HIGH_VARIANCE = tuple(name for name, one in SPECIFICATIONS.items() if one.high_variance)
_FLAG = "high-variance set: runs of one method can lie several percent apart"
_HM = "HM: harmonic mean of mean base and mean novel accuracy"
_OF_AVERAGE = ", in the average of the average base and the average novel (as MaPLe's Table 3)"
_OF_RUNS = "; its ± is the deviation of the harmonic means of the single runs"


def describe_table(table: ProtocolTable) -> str:
    """What was measured, on what, in one line."""
    tag = "" if table.pretrained is None else f" ({table.pretrained})"
    learnt = sorted({record["shots"] for record in table.records if record["trained_on"]}, key=lambda n: (n is None, n))
    shots = [_shots_in_words(n) for n in learnt]
    parts = [
        f"{measure_of(table.protocol)}{' and F1@3' if table.protocol == 'multilabel-zero-shot' else ''} in percent",
        f"learnt from {table.source}" if table.source else "",
        " and ".join(shots) if _says_shots(table) else "",
        _share_in_words(table),
        f"{table.backbone}{tag}, {table.precision}",
        f"{size} px" if table.protocol in MULTILABEL and (size := picture_size(table)) else "",
        f"{table.part} pictures" if table.part != "test" else "",
    ]
    return printable(f"{table.protocol}: {', '.join(part for part in parts if part)}")


def _says_shots(table: ProtocolTable) -> bool:
    """Where they are no columns; sets of several classes a picture, and of tuning, are learnt whole if none is said."""
    has_shots = any(record["shots"] is not None for record in table.records)
    return table.protocol not in BY_SHOTS and (has_shots or table.protocol not in (*MULTILABEL, TUNING))


def _share_in_words(table: ProtocolTable) -> str:
    """The one part of the training pictures that was learnt from; several are columns."""
    (column, *others) = table.measured
    is_part = table.protocol == TUNING and not others and is_number(column)
    return f"{column}% of the training pictures" if is_part else ""


def _shots_in_words(n: int | None) -> str:
    return "all pictures" if n is None else f"{n} shot{'s' if n != 1 else ''}"


def describe_notes(table: ProtocolTable, before: Sequence[ProtocolTable]) -> Iterator[str]:
    """The notes below a table.

    Args:
        table: with its rows.
        before: the tables that stand before it in the same report.
    """
    has_deviation = any(number.std is not None for row in table.rows for number in row.numbers.values())
    if HM in table.columns:
        yield _HM + (_OF_AVERAGE if len(table.averaged) > 1 else "") + (_OF_RUNS if has_deviation else "")
    if has_deviation:
        yield f"±: sample standard deviation over runs ({_runs_in_words(table.records)})"
    if table.protocol in MULTILABEL:
        yield from describe_multilabel(table)
    if table.protocol == TUNING:
        yield from describe_groups(table)
    yield from _average(table)
    yield from _counts(table)
    for row in table.rows:
        if row.is_control:
            yield f"{row.label}: prompts as they start, nothing was learnt (train.epochs=0)"
    yield from _settings(table)
    if any(name in HIGH_VARIANCE for name in table.datasets):
        yield f"†: {_FLAG}"
    if table.part != "test":
        yield f"{table.part} pictures are for choosing settings; these are no results"
    yield from describe_differences(table)
    for other in before:
        if describe_table(table) == describe_table(other):
            yield from describe_beside(table, other)


def _runs_in_words(records: Sequence[Record]) -> str:
    seeds = sorted({record["seed"] for record in records if record["seed"] is not None})
    splits = sorted({record["class_split"] for record in records})
    parts = [f"seeds {listed(seeds)}" if seeds else "", f"class splits {listed(splits)}" if len(splits) > 1 else ""]
    return ", ".join(part for part in parts if part)


def _average(table: ProtocolTable) -> Iterator[str]:
    targets = [name for name in table.datasets if name != table.source]
    if len(targets) < 2:
        return
    kind = "target sets, without the source" if table.source else "sets"
    if len(table.averaged) < 2:
        yield f"no average: fewer than two {kind.partition(',')[0]} have numbers of all rows"
    elif len(table.averaged) == len(targets):
        yield f"average: over all {len(targets)} {kind}"
    else:
        yield f"average: over the {len(table.averaged)} {kind} that all rows have"
    for row in table.rows:
        columns = {column for _, column in row.numbers} & {*table.measured}
        lacking = [name for name in targets if any((name, column) not in row.numbers for column in columns)]
        if lacking:
            yield f"no number, or not all, of {row.label}: {listed(lacking)}"


def _counts(table: ProtocolTable) -> Iterator[str]:
    """How many runs each row has, where it is not one."""
    counts = {
        (row.label, dataset): number.n_runs
        for row in table.rows
        for (dataset, column), number in row.numbers.items()
        if dataset is not None and column not in DERIVED
    }
    of_rows = {label: _most_common(n for (of, _), n in counts.items() if of == label) for label, _ in counts}
    usual = _most_common(of_rows.values())
    odd = [f"{n} of {label}" for label, n in of_rows.items() if n != usual]
    odd += [f"{n} of {label} on {name}" for (label, name), n in counts.items() if n != of_rows[label]]
    if odd or usual > 1:
        yield "; ".join([f"runs: {usual}{' of each row' if len(of_rows) > 1 else ''}", *odd])


def _most_common(values: Iterable[int]) -> int:
    return max(Counter(values).items(), key=lambda item: (item[1], item[0]))[0]


def _settings(table: ProtocolTable) -> Iterator[str]:
    """Settings that are not the same on all sets of a row, as protocols have them."""
    for row in table.rows:
        for key in PER_DATASET:
            values: dict[str, list[str]] = defaultdict(list)
            for record in (record for record in row.records if key not in chosen(record)):
                names = values[json.dumps(settings_of(record).get(key))]
                has_shots = table.protocol in BY_SHOTS and record["trained_on"] is not None
                where = record["dataset"] + (f" {_shots_in_words(record['shots'])}" if has_shots else "")
                names.extend([where] if where not in names else [])
            if len(values) > 1:
                yield f"{row.label}: {key} is {printable(_by_value(values))}"


def _by_value(values: dict[str, list[str]]) -> str:
    """The most common value last, as that of all others."""
    order = sorted(values, key=lambda value: (len(values[value]), value))
    return ", ".join(
        [*(f"{value} on {listed(sorted(values[value]))}" for value in order[:-1]), f"otherwise {order[-1]}"]
    )
