"""What a reader must know of group means, wins, sizes and chosen settings of visual-tuning, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from clipprompt.printable import printable
from clipprompt.reports.protocols.columns import amount
from clipprompt.reports.protocols.groups import (
    FULL,
    PARAMS,
    TUNED,
    group_in,
    groups_of,
    shared_sets,
    sized_sets,
    title_of_group,
    whole,
    wins_of,
)
from clipprompt.reports.protocols.rows import ProtocolTable
from clipprompt.reports.protocols.settings import Record


def describe_groups(table: ProtocolTable) -> Iterator[str]:
    """The notes on group means, wins, sizes and chosen settings."""
    column, groups = whole(table.measured), groups_of(table)
    n_sets = {group: shared_sets(table.rows, group, column) for group in groups}
    if len(table.measured) > 1 and amount(column) is not None:
        yield f"the first table is of {column}% of the training pictures"
    if groups:
        told = ", ".join(f"{title_of_group(group)} over {len(names)}" for group, names in n_sets.items())
        yield f"means of groups: {told} sets"
    yield from _left_out(table, n_sets)
    if any((None, wins_of(group)) in row.numbers for row in table.rows for group in groups):
        yield f"(n): on so many sets of the group the mean over runs is above that of {FULL}"
    elif groups:
        yield f"no sets that were won: {_why_no_wins(table)}"
    yield (
        f"{PARAMS}: the backbone's image tower and what is learnt{_of_sets(table)}, in backbones; {FULL} shares none. "
        f"{TUNED}: what one set learns, in percent of a backbone"
    )
    yield from _chosen(table)


def _of_sets(table: ProtocolTable) -> str:
    n, n_sized = len(table.datasets), len(sized_sets(table.rows))
    if n == 1:
        return ""
    return f" of all {n} sets" if n_sized == n else f" of the {n_sized} of {n} sets that all rows have"


def _why_no_wins(table: ProtocolTable) -> str:
    n = sum(row.records[0]["learner"] == FULL for row in table.rows)
    if n == 1:
        return f"{FULL} was not run on all of them"
    return f"there are {n} rows of {FULL}" if n else f"there is no row of {FULL}"


def _left_out(table: ProtocolTable, n_sets: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Sets of a group that do not enter its mean, as some row lacks them."""
    for group in n_sets:
        names = [name for name in table.datasets if group_in(table, name) == group and name not in n_sets[group]]
        if names:
            yield printable(
                f"not in the mean of {title_of_group(group)}, as not all rows have them: {', '.join(names)}"
            )


def _chosen(table: ProtocolTable) -> Iterator[str]:
    """By what settings were chosen, and of which rows they were not."""
    grids = {row.label: {_grid(record) for record in row.records} for row in table.rows if row.learns}
    for words in sorted({words for found in grids.values() for words in found}, key=lambda words: (not words, words)):
        labels = [label for label, found in grids.items() if words in found]
        rows = "" if len(labels) == len(grids) else f" ({printable(', '.join(labels))})"
        yield f"{words or 'settings as given, not chosen on val'}{rows}"


def _grid(record: Record) -> str:
    """How the settings of a run were chosen, in words; the empty string where they were given."""
    grid = record["grid"]
    if grid is None:
        return ""
    keys = " and ".join(key.rpartition(".")[2] for key in sorted(grid["chosen"]))
    return f"{keys}: the best of {len(grid['points'])} on val of each set, with seed {grid['seed']}"
