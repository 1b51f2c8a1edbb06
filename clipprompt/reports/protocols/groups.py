"""What visual-tuning shows beside its sets, as Table 1 of Visual Prompt Tuning (arXiv 2203.12119) has it.

- accuracy on each set: the mean of a group, and on how many of its sets a row beats ``full``
- numbers that each set adds: total params, the backbone and all of them, in backbones
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from statistics import fmean

from clipprompt.reports.protocols.derived import average
from clipprompt.reports.protocols.rows import MethodRow, Number, Place, ProtocolTable
from clipprompt.reports.protocols.settings import Record

GROUPS = {"fgvc": 5, "natural": 7, "specialized": 4, "structured": 8}
"""Groups in the study's order, with how many sets each has: Fine-Grained Visual Classification, and VTAB-1k's three."""
TITLES = {"fgvc": "FGVC"}
PARAMS, TUNED, FULL = "total params", "tuned", "full"


def wins_of(group: str) -> str:
    """The column that counts the sets of a group on which a row beats full tuning."""
    return f"{group} wins"


def with_groups(rows: Sequence[MethodRow], column: str) -> tuple[MethodRow, ...]:
    """Adds group means, wins and sizes to rows of visual-tuning; sizes are in backbones.

    Args:
        rows: of one table.
        column: in which the largest part of the training pictures was learnt from.
    """
    full = [row for row in rows if row.records[0]["learner"] == FULL]
    to_beat = full[0] if len(full) == 1 else None
    return tuple(replace(row, numbers={**row.numbers, **dict(_of_row(row, rows, to_beat, column))}) for row in rows)


def _of_row(
    row: MethodRow, rows: Sequence[MethodRow], full: MethodRow | None, column: str
) -> Iterator[tuple[Place, Number]]:
    for group in GROUPS:
        mean, names = group_mean(row, rows, group, column), shared_sets(rows, group, column)
        if mean is None:
            continue
        yield (None, group), mean
        if full is not None and row is not full and all((name, column) in full.numbers for name in names):
            n_wins = sum(row.numbers[name, column].mean > full.numbers[name, column].mean for name in names)
            yield (None, wins_of(group)), Number(float(n_wins))
    yield from ((place, Number(value)) for place, value in sizes(row, sized_sets(rows)))


def group_mean(row: MethodRow, rows: Sequence[MethodRow], group: str, column: str) -> Number | None:
    """The mean over a group's sets; None where the row has none of them."""
    places = [(name, column) for name in shared_sets(rows, group, column)]
    found = [row.numbers[place] for place in places if place in row.numbers]
    return average(found) if found else None


def shared_sets(rows: Sequence[MethodRow], group: str, column: str) -> list[str]:
    """The sets of a group that all rows have which have any of it, so that means in a column compare."""
    names = sorted({record["dataset"] for row in rows for record in row.records if record["group"] == group})
    there = [row for row in rows if any((name, column) in row.numbers for name in names)]
    return [name for name in names if all((name, column) in row.numbers for row in there)]


def sized_sets(rows: Sequence[MethodRow]) -> list[str]:
    """The sets that all rows have, so that sums over them compare."""
    return sorted(set.intersection(*({record["dataset"] for record in row.records} for row in rows)))


def sizes(row: MethodRow, names: Sequence[str]) -> Iterator[tuple[Place, float]]:
    """What some sets of a row need together in backbones, and the mean of what one learns in percent of one.

    Where the whole backbone is learnt, each set has one of its own and none is shared.
    """
    first, learnt = row.records[0], numbers_by_set(row.records)
    backbone, shared = first["backbone_parameters"], 0 if first["learner"] == FULL else 1
    if names:
        yield (None, PARAMS), shared + sum(learnt[name] for name in names) / backbone
    yield (None, TUNED), 100 * fmean(learnt.values()) / backbone


def numbers_by_set(records: Collection[Record]) -> dict[str, float]:
    """How many numbers are learnt on each set; where runs differ, their mean."""
    found: dict[str, list[int]] = {}
    for record in records:
        found.setdefault(record["dataset"], []).append(record["n_parameters"])
    return {name: fmean(values) for name, values in found.items()}


def groups_of(table: ProtocolTable) -> list[str]:
    """The groups that some row has a mean of, in the study's order."""
    return [group for group in GROUPS if any((None, group) in row.numbers for row in table.rows)]


def whole(columns: Sequence[str]) -> str:
    """The column of the most training pictures, which groups are of."""
    return columns[-1]


def without_group(table: ProtocolTable) -> list[str]:
    """Sets that stand by themselves."""
    return [name for name in table.datasets if group_in(table, name) not in groups_of(table)]


def title_of_group(group: str) -> str:
    """As the study writes it."""
    return TITLES.get(group, group.capitalize())


def group_in(table: ProtocolTable, dataset: str) -> str | None:
    """The group of a set; None where it has none."""
    return next((record["group"] for record in table.records if record["dataset"] == dataset), None)
