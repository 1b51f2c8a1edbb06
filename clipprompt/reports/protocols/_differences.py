"""What is not the same for all numbers of a table, or not as in a table above it, in sentences."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from clipprompt.printable import printable
from clipprompt.reports.protocols.rows import ProtocolTable
from clipprompt.reports.protocols.settings import Record

_DRAW = ("trained_on", "subset", "class_split", "shots", "known", "share", "seed")
"""What records agree in that learnt from one draw."""


def describe_differences(table: ProtocolTable) -> Iterator[str]:
    """What is not the same for all numbers, and may move them a little."""
    versions: dict[str, set[str]] = defaultdict(set)
    for record in table.records:
        for library, version in record["versions"].items():
            versions[library].add(version)
    mixed = [f"{library} {listed(sorted(found))}" for library, found in sorted(versions.items()) if len(found) > 1]
    if mixed:
        yield f"versions are not the same for all runs: {'; '.join(mixed)}"
    devices = {record["device"].partition(":")[0] for record in table.records}
    if len(devices) > 1:
        yield f"devices are not the same for all runs: {listed(sorted(devices))}"
    for row in table.rows:
        if len({record["cached"] for record in row.records}) > 1:
            yield f"{row.label}: features of some runs went through a float16 cache, those of others did not"
    yield from _unlike_runs(table)
    yield from _draws(table.records)
    skipped = sorted(
        {f"{record['n_skipped']} of {record['dataset']}" for record in table.records if record["n_skipped"]}
    )
    if skipped:
        yield f"pictures that could not be read were left out: {listed(skipped)}"


def _unlike_runs(table: ProtocolTable) -> Iterator[str]:
    """Other halves of the classes are other problems; a row's mean over them compares with no other's."""
    for key, name in (("class_split", "class splits"), ("seed", "seeds")):
        values = {row.label: sorted({record[key] for record in row.records}) for row in table.rows if row.learns}
        if len(set(map(tuple, values.values()))) > 1:
            of_rows = "; ".join(f"{label}: {listed(found)}" for label, found in values.items())
            yield f"rows do not have the same {name}: {of_rows}"


def _draws(records: Sequence[Record]) -> Iterator[str]:
    """Methods of one seed should have learnt from the same pictures."""
    draws: dict[tuple[Any, ...], set[str]] = defaultdict(set)
    for record in records:
        if record["draw_hash"] is not None and not record.get("members"):
            place = tuple(record.get(key) for key in _DRAW)
            draws[place].add(record["draw_hash"])
    sets = sorted({place[0] for place, found in draws.items() if len(found) > 1})
    if sets:
        yield f"rows with the same seed did not learn from the same pictures of {listed(sets)}"


def describe_beside(table: ProtocolTable, other: ProtocolTable) -> Iterator[str]:
    """What tells a table from one before it with the same caption."""
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


def listed(values: Iterable[Any]) -> str:
    """Values with commas between."""
    return printable(", ".join(map(str, values)))
