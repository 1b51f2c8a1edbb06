"""A table of a protocol as blocks of lines of cells, before it becomes text of any kind.

Protocols with several columns are one block to a data set, as papers print them; the others one block, methods by sets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from clipprompt.printable import printable
from clipprompt.reports.protocols.columns import ACCURACY, MULTILABEL, title_of
from clipprompt.reports.protocols.notes import HIGH_VARIANCE, describe_table
from clipprompt.reports.protocols.papers.found import Papers, differs
from clipprompt.reports.protocols.papers.printed import Printed
from clipprompt.reports.protocols.rows import MethodRow, Number, ProtocolTable

NOTHING = "–"
PAPER = " (paper)"
_BLOCKS = ("base-to-novel", "few-shot", *MULTILABEL)
LONG = 18
"""Letters of a name that is no title of a column any more."""


@dataclass(frozen=True)
class Cell:
    """A number of ours, one of a paper, or nothing.

    Attributes:
        number: of ours.
        printed: of a paper, in percent.
        is_best: of the numbers of ours that it competes with.
        is_marked: whether the paper's differs from ours.
        tail: behind the number, such as a count in brackets.
        words: in the place of a number.
    """

    number: Number | None = None
    printed: float | None = None
    is_best: bool = False
    is_marked: bool = False
    tail: str = ""
    words: str = ""

    def text(self, decimals: int = 1, sign: str = " ± ") -> str:
        """The number with its deviation."""
        if self.number is not None:
            spread = "" if self.number.std is None else f"{sign}{self.number.std:.{decimals}f}"
            parts = (self.tail, spread) if sign.startswith("\n") else (spread, self.tail)  # a count beside its number
            return f"{self.number.mean:.{decimals}f}{''.join(parts)}"
        if self.printed is None:
            return self.words or NOTHING
        # 64.05 becomes 64.1, as on paper, though the nearest float lies below it.
        return f"{self.printed + 1e-9:.{decimals}f}{'*' if self.is_marked else ''}{self.tail}"


@dataclass(frozen=True)
class Line:
    """Cells with what they are of. ``is_printed``: all of them are a paper's."""

    label: str
    cells: tuple[Cell, ...]
    is_printed: bool = False


@dataclass(frozen=True)
class Block:
    """Lines below a heading; the empty heading is none."""

    heading: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Grid:
    """A whole table.

    Attributes:
        caption: one line.
        kind: what a heading of a block is, if there are any.
        corner: what stands above the labels.
        columns: titles of the cells.
        blocks: at least one, all with the same columns.
        notes: sentences below.
        stays: methods are lines wherever it is shown.
    """

    caption: str
    kind: str
    corner: str
    columns: tuple[str, ...]
    blocks: tuple[Block, ...]
    notes: tuple[str, ...]
    stays: bool = False


def make_grid(table: ProtocolTable, papers: Papers) -> Grid:
    """The table with the papers' numbers: in their own columns for base-to-novel, else in lines."""
    caption, notes = describe_table(table), (*table.notes, *papers.notes)
    if table.protocol not in _BLOCKS and table.columns == (ACCURACY,):
        grid = Grid(caption, "", "method", *_matrix(table, papers), notes)
        return grid if table.protocol != "zero-shot" or has_long_labels(grid) else transposed(grid)
    names = [
        *table.datasets,
        *([None] if any((None, c) in row.numbers for row in table.rows for c in table.columns) else []),
    ]
    in_columns = table.protocol == "base-to-novel" and bool(papers.beside)
    make = _with_paper_columns if in_columns else _with_paper_lines
    titles = tuple(title_of(column, table.protocol) for column in table.columns)
    columns = (*titles, *(f"{title}{PAPER}" for title in titles)) if in_columns else titles
    blocks = (Block(heading_of(table, name), tuple(make(table, papers, name))) for name in names)
    return Grid(caption, "set", "method", columns, tuple(block for block in blocks if block.lines), notes)


def heading_of(table: ProtocolTable, dataset: str | None) -> str:
    """The name of a set with its flags, or what the average is over."""
    if dataset is None:
        return f"average of {len(table.averaged)} sets"
    return (
        printable(dataset)
        + (" (source)" if dataset == table.source else "")
        + (" †" if dataset in HIGH_VARIANCE else "")
    )


def transposed(grid: Grid) -> Grid:
    """Sets as lines and methods as columns, for a grid of one block; one that is so already stays."""
    if grid.corner == "set":
        return grid
    (block,) = grid.blocks
    cells = zip(*(line.cells for line in block.lines), strict=True)
    lines = tuple(Line(title, column) for title, column in zip(grid.columns, cells, strict=True))
    return replace(grid, corner="set", columns=tuple(line.label for line in block.lines), blocks=(Block("", lines),))


def has_long_labels(grid: Grid) -> bool:
    """Whether lines, such as those of templates, are too long for titles, and take more room there than the sets do."""
    labels = [len(line.label) for block in grid.blocks for line in block.lines]
    return max(labels) > LONG and sum(labels) > sum(map(len, grid.columns))


def _with_paper_columns(table: ProtocolTable, papers: Papers, dataset: str | None) -> Iterator[Line]:
    for line, row in _lines(table, dataset):
        beside = tuple(_beside(papers, row, dataset, column) for column in table.columns)
        yield replace(line, cells=(*line.cells, *beside))
    for paper in papers.others:
        cells = tuple(_printed(paper, dataset, column) for column in table.columns)
        if any(cell.printed is not None for cell in cells):
            yield Line(paper.title, (*(Cell() for _ in cells), *cells), is_printed=True)


def _with_paper_lines(table: ProtocolTable, papers: Papers, dataset: str | None) -> Iterator[Line]:
    for line, row in _lines(table, dataset):
        yield line
        yield from paper_line(row.label, tuple(_beside(papers, row, dataset, column) for column in table.columns))
    for paper in papers.others:
        yield from paper_line(paper.title, tuple(_printed(paper, dataset, column) for column in table.columns))


def _matrix(table: ProtocolTable, papers: Papers) -> tuple[tuple[str, ...], tuple[Block, ...]]:
    places = list[str | None](table.datasets)
    if any((None, ACCURACY) in row.numbers for row in table.rows):
        places.append(None)
    columns = [best_cells([row.numbers.get((name, ACCURACY)) for row in table.rows]) for name in places]
    lines = list[Line]()
    for index, row in enumerate(table.rows):
        lines.append(Line(row.label, tuple(column[index] for column in columns)))
        lines += paper_line(row.label, tuple(_beside(papers, row, name, ACCURACY) for name in places))
    return tuple(heading_of(table, name) for name in places), (Block("", tuple(lines)),)


def _lines(table: ProtocolTable, dataset: str | None) -> Iterator[tuple[Line, MethodRow]]:
    """The rows that have a number on a set; those that lack all are said in a note."""
    rows = [row for row in table.rows if any((dataset, column) in row.numbers for column in table.columns)]
    columns = [best_cells([row.numbers.get((dataset, column)) for row in rows]) for column in table.columns]
    for index, row in enumerate(rows):
        yield Line(row.label, tuple(column[index] for column in columns)), row


def best_cells(numbers: Sequence[Number | None]) -> list[Cell]:
    """Cells of numbers that compete; of one alone there is no best."""
    means = [number.mean for number in numbers if number is not None]
    return [
        Cell(number, is_best=number is not None and len(means) > 1 and number.mean == max(means)) for number in numbers
    ]


def _beside(papers: Papers, row: MethodRow, dataset: str | None, column: str) -> Cell:
    printed = papers.beside.get((row.label, (dataset, column)))
    number = row.numbers.get((dataset, column))
    return Cell(printed=printed, is_marked=printed is not None and number is not None and differs(number, printed))


def _printed(paper: Printed, dataset: str | None, column: str) -> Cell:
    return Cell(printed=paper.numbers.get((dataset, column)))


def paper_line(label: str, cells: tuple[Cell, ...]) -> Iterator[Line]:
    """A paper's numbers below our row; nothing where it prints none."""
    if any(cell.printed is not None for cell in cells):
        yield Line(f"{label}{PAPER}", cells, is_printed=True)
