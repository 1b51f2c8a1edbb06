"""What a reader must know of a table of a protocol, in sentences."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from clipprompt.datasets.classification.specifications import SPECIFICATIONS
from clipprompt.printable import printable
from clipprompt.reports.protocols._multilabel_notes import describe_multilabel
from clipprompt.reports.protocols.columns import BY_SHOTS, DERIVED, HM, MULTILABEL, measure_of
from clipprompt.reports.protocols.comparable import PER_DATASET, Record, settings_of
from clipprompt.reports.protocols.rows import ProtocolTable, picture_size

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
        f"{table.backbone}{tag}, {table.precision}",
        f"{size} px" if table.protocol in MULTILABEL and (size := picture_size(table)) else "",
        f"{table.part} pictures" if table.part != "test" else "",
    ]
    return printable(f"{table.protocol}: {', '.join(part for part in parts if part)}")


def _says_shots(table: ProtocolTable) -> bool:
    """Where they are no columns; several classes a picture are learnt from all pictures, unless it is said."""
    has_shots = any(record["shots"] is not None for record in table.records)
    return table.protocol not in BY_SHOTS and (has_shots or table.protocol not in MULTILABEL)


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
    yield from _differences(table)
    for other in before:
        if other.protocol == table.protocol:
            yield from _beside(table, other)


def _runs_in_words(records: Sequence[Record]) -> str:
    seeds = sorted({record["seed"] for record in records if record["seed"] is not None})
    splits = sorted({record["class_split"] for record in records})
    parts = [f"seeds {_listed(seeds)}" if seeds else "", f"class splits {_listed(splits)}" if len(splits) > 1 else ""]
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
        columns = {column for _, column in row.numbers} - {*DERIVED}
        lacking = [name for name in targets if any((name, column) not in row.numbers for column in columns)]
        if lacking:
            yield f"no number, or not all, of {row.label}: {_listed(lacking)}"


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
            for record in row.records:
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
        [*(f"{value} on {_listed(sorted(values[value]))}" for value in order[:-1]), f"otherwise {order[-1]}"]
    )


def _differences(table: ProtocolTable) -> Iterator[str]:
    """What is not the same for all numbers, and may move them a little."""
    versions: dict[str, set[str]] = defaultdict(set)
    for record in table.records:
        for library, version in record["versions"].items():
            versions[library].add(version)
    mixed = [f"{library} {_listed(sorted(found))}" for library, found in sorted(versions.items()) if len(found) > 1]
    if mixed:
        yield f"versions are not the same for all runs: {'; '.join(mixed)}"
    devices = {record["device"].partition(":")[0] for record in table.records}
    if len(devices) > 1:
        yield f"devices are not the same for all runs: {_listed(sorted(devices))}"
    for row in table.rows:
        if len({record["cached"] for record in row.records}) > 1:
            yield f"{row.label}: features of some runs went through a float16 cache, those of others did not"
    yield from _unlike_runs(table)
    yield from _draws(table.records)
    skipped = sorted(
        {f"{record['n_skipped']} of {record['dataset']}" for record in table.records if record["n_skipped"]}
    )
    if skipped:
        yield f"pictures that could not be read were left out: {_listed(skipped)}"


def _unlike_runs(table: ProtocolTable) -> Iterator[str]:
    """Other halves of the classes are other problems; a row's mean over them compares with no other's."""
    for key, name in (("class_split", "class splits"), ("seed", "seeds")):
        values = {row.label: sorted({record[key] for record in row.records}) for row in table.rows if row.learns}
        if len(set(map(tuple, values.values()))) > 1:
            of_rows = "; ".join(f"{label}: {_listed(found)}" for label, found in values.items())
            yield f"rows do not have the same {name}: {of_rows}"


def _draws(records: Sequence[Record]) -> Iterator[str]:
    """Methods of one seed should have learnt from the same pictures."""
    draws: dict[tuple[Any, ...], set[str]] = defaultdict(set)
    for record in records:
        if record["draw_hash"] is not None and not record.get("members"):
            place = tuple(record.get(key) for key in ("trained_on", "subset", "class_split", "shots", "known", "seed"))
            draws[place].add(record["draw_hash"])
    sets = sorted({place[0] for place, found in draws.items() if len(found) > 1})
    if sets:
        yield f"rows with the same seed did not learn from the same pictures of {_listed(sets)}"


def _beside(table: ProtocolTable, other: ProtocolTable) -> Iterator[str]:
    """What tells a table from one before it that its caption does not tell it from."""
    if describe_table(table) != describe_table(other):
        return
    for key, name in (("fingerprint", "weights"), ("transform", "transform")):
        if getattr(table, key) != getattr(other, key):
            yield f"other {name} than in a table above: {printable(' '.join(getattr(table, key).split()))}"
    theirs = {_place(record): record for record in other.records}
    for name in table.datasets:
        mine = [record for record in table.records if record["dataset"] == name and _place(record) in theirs]
        for what, key in (("pictures", "split_hash"), ("class names", "class_hash")):
            odd = next((record for record in mine if record[key] != theirs[_place(record)][key]), None)
            if odd is not None:
                told_by = f" of {odd['split_source']}" if "split_source" in odd else ""
                where = printable(f"{odd['n_images']}{told_by}, {key} {odd[key][:8]}")
                yield f"{printable(name)} has other {what} than in a table above ({where})"


def _place(record: Record) -> tuple[Any, ...]:
    return record["dataset"], record["tested_subset"], record["class_split"]


def _listed(values: Iterable[Any]) -> str:
    return printable(", ".join(map(str, values)))
