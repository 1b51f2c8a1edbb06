"""A grid as a Markdown table: the caption, one table, and the notes as a list."""

from __future__ import annotations

import re

from clipprompt.reports.render.grid import Cell, Grid, Line


def to_markdown(grid: Grid) -> str:
    """The best number of each set in bold, the papers' lines in italics."""
    heads = [*([grid.kind] if grid.kind else []), grid.corner, *grid.columns]
    n_names = len(heads) - len(grid.columns)
    lines = [_escape(grid.caption), "", _row([_escape(head) for head in heads])]
    lines.append(_row(["---"] * n_names + ["---:"] * len(grid.columns)))
    for block in grid.blocks:
        for line in block.lines:
            names = [*([_escape(block.heading)] if grid.kind else []), _label(line)]
            lines.append(_row([*names, *map(_cell, line.cells)]))
    notes = [f"- {_escape(note)}" for note in grid.notes]
    return "\n".join([*lines, "", *notes]).rstrip() + "\n"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _label(line: Line) -> str:
    return f"*{_escape(line.label)}*" if line.is_printed else _escape(line.label)


def _cell(cell: Cell) -> str:
    text = _escape(cell.text())
    return f"**{text}**" if cell.is_best else text


def _escape(text: str) -> str:
    r"""What Markdown reads as signs: a pipe ends a cell, ``<`` opens HTML; an underscore inside a word is none."""
    return re.sub(r"[\\|*`<\[]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", text)
