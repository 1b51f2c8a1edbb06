"""A grid for a terminal of any width: blocks under headings, deviations as there is room, the papers' numbers dim."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from clipprompt.reports.render.grid import PAPER, Cell, Grid, Line, transposed

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table
    from rich.text import Text

_INDENT = 2
_LABEL, _WORD = 18, 14
"""Labels and words of titles have at least so much room before anything is folded, if they need it."""


@dataclass(frozen=True)
class _Form:
    """What is before a deviation, and how many spaces are between columns."""

    sign: str
    gap: int = 2


_WIDE, _NARROW, _BELOW = _Form(" ± "), _Form("±"), _Form("\n±", gap=1)


@dataclass(frozen=True)
class TerminalGrid:
    """A grid that is laid out when a rich console asks for it, and knows its width."""

    grid: Grid

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Caption, table (or several, if the columns do not fit beside each other) and notes."""
        from rich.text import Text

        yield Text(f"{self.grid.caption}\n", style="bold")
        fitting, form = _fitted(self.grid, options.max_width)
        for part in _parts(fitting, form, options.max_width):
            yield _table(part, form, options.max_width)
            yield Text("")
        for note in self.grid.notes:
            yield Text(note, style="dim")


def _fitted(grid: Grid, width: int) -> tuple[Grid, _Form]:
    """The grid that fits, or has the fewest parts, and how deviations are written.

    Of many columns, such as shares of labels, deviations stand below their numbers. Methods are in columns where sets
    have no room.
    """
    stays = bool(grid.kind) or grid.stays
    forms = (_WIDE, _NARROW, _BELOW) if stays else (_WIDE, _NARROW)
    shapes = [(shape, form) for shape in [grid, *([] if stays else [transposed(grid)])] for form in forms]
    for shape, form in shapes:
        if _least_label(shape) + _room(_widths(shape, form), form) <= width:
            return shape, form
    return min(reversed(shapes), key=lambda pair: len(list(_parts(pair[0], pair[1], width))))


def _parts(grid: Grid, form: _Form, width: int) -> Iterator[Grid]:
    """The grid, or as many columns of it at a time as there is room for."""
    widths, start = _widths(grid, form), 0
    while start < len(widths):
        end = start + 1
        while end < len(widths) and _least_label(grid) + _room(widths[start : end + 1], form) <= width:
            end += 1
        yield _columns(grid, start, end)
        start = end


def _columns(grid: Grid, start: int, end: int) -> Grid:
    blocks = tuple(
        replace(block, lines=tuple(replace(line, cells=line.cells[start:end]) for line in block.lines))
        for block in grid.blocks
    )
    return replace(grid, columns=grid.columns[start:end], blocks=blocks)


def _widths(grid: Grid, form: _Form) -> list[int]:
    cells = zip(*(line.cells for block in grid.blocks for line in block.lines), strict=True)
    return [
        max(
            *(len(line) for cell in column for line in cell.text(sign=form.sign).split("\n")),
            *(min(len(word), _WORD) for word in _head(title, grid).split()),
        )
        for title, column in zip(grid.columns, cells, strict=True)
    ]


def _room(widths: Sequence[int], form: _Form) -> int:
    return sum(form.gap + width for width in widths)


def _longest_label(grid: Grid) -> int:
    indent = _INDENT if grid.kind else 0
    labels = [indent + len(line.label) for block in grid.blocks for line in block.lines]
    return max(len(grid.corner), *labels, *(len(block.heading) for block in grid.blocks))


def _least_label(grid: Grid) -> int:
    return min(_longest_label(grid), _LABEL)


def _table(grid: Grid, form: _Form, width: int) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    widths = _widths(grid, form)
    label_width = max(min(_longest_label(grid), width - _room(widths, form)), _least_label(grid))
    # Between two columns the box has a space of its own.
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, form.gap - 1, 0, 0), pad_edge=False)
    vertical: Literal["top", "bottom"] = "top" if form is _BELOW else "bottom"
    table.add_column(Text(grid.corner), width=label_width, overflow="fold", vertical=vertical)
    for title, wide in zip(grid.columns, widths, strict=True):
        table.add_column(Text(_head(title, grid)), width=wide, justify="right", overflow="fold", vertical=vertical)
    for block in grid.blocks:
        if block.heading:
            table.add_row(Text(block.heading, style="bold"))
        for line in block.lines:
            indent = _INDENT if grid.kind else 0
            label = Text(_folded(line.label, label_width - indent), style="dim" if line.is_printed else "")
            table.add_row(Padding(label, (0, 0, 0, indent)), *_cells(line, form.sign))
    return table


def _folded(label: str, width: int) -> str:
    """The name of an ensemble is folded behind a plus; any other as it comes."""
    lines = [""]
    for part in re.split(r"(?<=\+)(?=\S)", label):
        lines += [part] if lines[-1] and len(lines[-1] + part) > width else [lines.pop() + part]
    return "\n".join(lines)


def _head(title: str, grid: Grid) -> str:
    """Of a block's columns, the paper's are told by a second line; a method's title is folded as it comes."""
    return f"paper:\n{title.removesuffix(PAPER)}" if grid.kind and title.endswith(PAPER) else title


def _cells(line: Line, sign: str) -> Iterator[Text]:
    from rich.text import Text

    for cell in line.cells:
        yield Text(cell.text(sign=sign), style=_cell_style(cell))


def _cell_style(cell: Cell) -> str:
    if cell.is_marked:
        return "magenta"  # seen on black and on white
    return "bold" if cell.is_best else "dim" if cell.number is None and not cell.words else ""
