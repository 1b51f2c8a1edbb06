"""What a table is shown as: one grid, and where sets have groups the groups with their sizes before the sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from clipprompt.printable import printable
from clipprompt.reports.protocols.columns import TUNING
from clipprompt.reports.protocols.groups import (
    PARAMS,
    TUNED,
    groups_of,
    shared_sets,
    title_of_group,
    whole,
    wins_of,
    without_group,
)
from clipprompt.reports.protocols.notes import describe_table
from clipprompt.reports.protocols.papers.found import Papers, differs
from clipprompt.reports.protocols.rows import MethodRow, Number, Place, ProtocolTable
from clipprompt.reports.render.grid import Block, Cell, Grid, Line, best_cells, make_grid, paper_line, transposed


def make_grids(table: ProtocolTable, papers: Papers) -> list[Grid]:
    """The grids of a table, the first with all notes; of visual-tuning that of its groups, then that of its sets."""
    if table.protocol != TUNING:
        return [make_grid(table, papers)]
    has_more = bool(groups_of(table)) or len(table.columns) > 1
    return [_groups(table, papers), *([_sets(table)] if has_more else [])]


def _sets(table: ProtocolTable) -> Grid:
    """Sets from above where they are more than the methods."""
    grid = make_grid(table, Papers())
    is_wide = not grid.kind and len(grid.columns) > len(grid.blocks[0].lines)
    return replace(transposed(grid) if is_wide else grid, caption=f"{grid.caption}, by set", notes=())


def _groups(table: ProtocolTable, papers: Papers) -> Grid:
    """Sizes, means of groups and sets without one, as Table 1 of Visual Prompt Tuning (arXiv 2203.12119)."""
    column, groups, alone = whole(table.measured), groups_of(table), without_group(table)
    places: list[Place] = [*((None, group) for group in groups), *((name, column) for name in alone)]
    counts = [len(shared_sets(table.rows, group, column)) for group in groups]
    titles = [f"{title_of_group(group)} ({n})" for group, n in zip(groups, counts, strict=True)]
    return Grid(
        caption=describe_table(table),
        kind="",
        corner="method",
        columns=(PARAMS, TUNED, *titles, *map(printable, alone)),
        blocks=(Block("", tuple(_lines(table, papers, places))),),
        notes=(*table.notes, *papers.notes),
        stays=True,
    )


def _lines(table: ProtocolTable, papers: Papers, places: Sequence[Place]) -> Iterator[Line]:
    columns = [best_cells([row.numbers.get(place) for row in table.rows]) for place in places]
    for index, row in enumerate(table.rows):
        ours = (replace(column[index], tail=_wins(row, place)) for column, place in zip(columns, places, strict=True))
        yield Line(row.label, (*_sizes(row), *ours))
        printed = {place: value for (label, place), value in papers.beside.items() if label == row.label}
        yield from paper_line(row.label, _printed(printed, places, row))
    for paper in papers.others:
        yield from paper_line(paper.title, _printed(paper.numbers, places))


def _sizes(row: MethodRow) -> tuple[Cell, Cell]:
    total, tuned = (row.numbers[None, key].mean for key in (PARAMS, TUNED))
    return Cell(words=_backbones(total)), Cell(words=f"{tuned:.2g}%" if 0 < tuned < 0.1 else f"{tuned:.1f}%")


def _backbones(total: float) -> str:
    return f"{total:.2f}×"


def _wins(row: MethodRow, place: Place) -> str:
    """On how many sets of a group full tuning was beaten, in brackets."""
    wins = row.numbers.get((None, wins_of(place[1])))
    return "" if wins is None else f" ({wins.mean:.0f})"


def _printed(printed: Mapping[Place, float], places: Sequence[Place], row: MethodRow | None = None) -> tuple[Cell, ...]:
    """A paper's cells; its row of a method of ours has marks where they differ."""
    total = printed.get((None, PARAMS))
    cells = [Cell(words="" if total is None else _backbones(total)), Cell()]
    for place in places:
        wins, value = printed.get((None, wins_of(place[1]))), printed.get(place)
        number: Number | None = None if row is None else row.numbers.get(place)
        is_marked = number is not None and value is not None and differs(number, value)
        cells.append(Cell(printed=value, is_marked=is_marked, tail="" if wins is None else f" ({wins:.0f})"))
    return tuple(cells)
