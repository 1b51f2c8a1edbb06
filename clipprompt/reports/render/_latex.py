r"""A grid as a LaTeX table. It needs ``\usepackage{booktabs,graphicx}`` in the preamble, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from clipprompt.reports.render.grid import LONG, PAPER, Block, Cell, Grid, Line, transposed

_DECIMALS, _SHORT_DECIMALS = 2, 1
"""As papers print; TaI-DPT's table of eleven columns has one."""
_UPRIGHT = 6
"""Of more columns than these, titles stand on end, and methods become the columns where they are fewer."""
_SHORT = 7
"""Letters of a title that is no wider than a number with its deviation."""
_NARROW = 3
"""Tables of so many columns stand side by side on any page."""
_PAGE, _NOTE = 62, 90
"""Lines of a page of the article class, without the caption, and letters of a note's line: no float may be longer."""
_SIGNS = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # behind the end of a row, a bracket or a star would be read as its argument
    "*": "{*}",
    "±": r"$\pm$",
    "†": r"$\dagger$",
    "‡": r"$\ddagger$",
    "–": "--",
    "×": r"$\times$",
}


def to_latex(grid: Grid) -> str:
    r"""A ``table*`` with caption, rules and notes; deviations are small, the papers' numbers slanted.

    Blocks are small tables that stand side by side as the page has room, as words of a line do. What fills more than a
    page is several ``table*``, the notes below the last.
    """
    parts = list(_pages(_turned(grid)))
    counts = [f" ({n} of {len(parts)})" if len(parts) > 1 else "" for n in range(1, len(parts) + 1)]
    return "\n".join(_float(part, count) for part, count in zip(parts, counts, strict=True))


def _turned(grid: Grid) -> Grid:
    """Sets as lines where they would be many columns, which fit the page in letters that nobody can read."""
    is_wide = not grid.kind and not grid.stays and len(grid.columns) > max(_UPRIGHT, len(grid.blocks[0].lines))
    return transposed(grid) if is_wide else grid


def _pages(grid: Grid) -> Iterator[Grid]:
    """The blocks by the pages that hold them; LaTeX would let a float run off its page."""
    beside = 2 if len(grid.columns) <= _NARROW else 1
    around = 4 + bool(_over_papers(grid))  # heading, titles, rules and the space below
    blocks, n_lines = list[Block](), 0.0
    for block in grid.blocks:
        n_rows = sum(len(list(_rows(line, _has_spreads_below(grid)))) for line in block.lines)
        needed = (n_rows + around) / beside
        below = sum(1.5 + len(note) // _NOTE for note in grid.notes) if block is grid.blocks[-1] else 0
        if blocks and n_lines + needed + below > _PAGE:
            yield replace(grid, blocks=tuple(blocks), notes=())
            blocks, n_lines = [], 0.0
        blocks, n_lines = [*blocks, block], n_lines + needed
    yield replace(grid, blocks=tuple(blocks))


def _float(grid: Grid, count: str) -> str:
    tables = [_tabular(grid, block) for block in grid.blocks]
    share = ".48" if len(grid.columns) <= _NARROW else ""
    body = "\\quad\n".join(_at_most(table, share) for table in tables) if grid.kind else _fitted(tables[0], grid)
    notes = [rf"\par\smallskip {{\footnotesize {escape_latex(note)}.\par}}" for note in grid.notes]
    begin = r"\begin{table*}", r"\centering\scriptsize\setlength{\tabcolsep}{3pt}\setlength{\lineskip}{1.5ex}"
    caption = rf"\caption{{{escape_latex(grid.caption + count)}.}}"
    return "\n".join([*begin, caption, body, *notes, r"\end{table*}", ""])


def _tabular(grid: Grid, block: Block) -> str:
    n = len(grid.columns)
    heading = rf"\textbf{{{escape_latex(block.heading)}}}"
    title = [rf"{_span(n + 1, heading)} \\"] if block.heading else []
    heads = " & ".join([escape_latex(grid.corner), *(_head(column, grid) for column in grid.columns)])
    rows = [row for line in block.lines for row in _rows(line, _has_spreads_below(grid))]
    begin, end = rf"\begin{{tabular}}[t]{{l{'r' * n}}}", r"\end{tabular}"
    top = [r"\toprule", *_over_papers(grid), rf"{heads} \\", r"\midrule"]
    return "\n".join([begin, *title, *top, *rows, r"\bottomrule", end])


def _over_papers(grid: Grid) -> list[str]:
    """One word above the papers' columns of a block, which would be wider than their numbers otherwise."""
    n_paper = sum(column.endswith(PAPER) for column in grid.columns) if grid.kind else 0
    rest = len(grid.columns) - n_paper + 1
    return [rf"{_span(rest, '')} & {_span(n_paper, 'paper')} \\"] if n_paper else []


def _span(n_columns: int, text: str) -> str:
    return rf"\multicolumn{{{n_columns}}}{{c}}{{{text}}}"


def _fitted(tabular: str, grid: Grid) -> str:
    """A table of many columns is made as wide as the page."""
    return f"\\resizebox{{\\textwidth}}{{!}}{{%\n{tabular}}}" if len(grid.columns) > _UPRIGHT else _at_most(tabular)


def _at_most(tabular: str, share: str = "") -> str:
    """A table whose names are too long for its share of the page is made smaller."""
    width = rf"{share}\textwidth"
    fitted = rf"\ifdim\wd0>{width}\resizebox{{{width}}}{{!}}{{\usebox0}}\else\usebox0\fi"
    return f"\\sbox0{{%\n{tabular}}}%\n{fitted}"


def escape_latex(text: str) -> str:
    """Text in which LaTeX reads no command, whatever it holds."""
    return "".join(_SIGNS.get(letter, letter) for letter in text)


def _head(title: str, grid: Grid) -> str:
    text = escape_latex(title.removesuffix(PAPER) if grid.kind else title)
    text = rf"\textit{{{text}}}" if title.endswith(PAPER) else text
    longest, are_many = max(map(len, grid.columns)), len(grid.columns) > _UPRIGHT
    stands = (not grid.kind and longest > LONG) or (are_many and longest > _SHORT)
    return rf"\rotatebox{{90}}{{{text}}}" if stands else text


def _label(line: Line) -> str:
    text = escape_latex(line.label)
    return rf"\textit{{{text}}}" if line.is_printed else text


def _has_spreads_below(grid: Grid) -> bool:
    """Of many columns, such as shares of labels, deviations stand below their numbers, and letters keep their size."""
    return bool(grid.kind) and len(grid.columns) > _UPRIGHT


def _rows(line: Line, spreads_below: bool) -> Iterator[str]:
    if not spreads_below:
        yield (
            " & ".join([_label(line), *(_mean(cell) + _spread(cell, r"\,") + _tail(cell) for cell in line.cells)])
            + r" \\"
        )
        return
    spreads = [_spread(cell, "", _SHORT_DECIMALS) for cell in line.cells]
    end = r" \\[-.4ex]" if any(spreads) else r" \\"
    yield " & ".join([_label(line), *(_mean(cell, _SHORT_DECIMALS) for cell in line.cells)]) + end
    if any(spreads):
        yield " & ".join(["", *spreads]) + r" \\"


def _mean(cell: Cell, decimals: int = _DECIMALS) -> str:
    if cell.number is None:
        text = escape_latex(replace(cell, tail="").text(decimals))
        return rf"\textit{{{text}}}" if cell.printed is not None else text
    mean = f"{cell.number.mean:.{decimals}f}"
    return rf"\textbf{{{mean}}}" if cell.is_best else mean


def _tail(cell: Cell) -> str:
    return rf"{{\tiny{escape_latex(cell.tail)}}}" if cell.tail else ""


def _spread(cell: Cell, before: str, decimals: int = _DECIMALS) -> str:
    if cell.number is None or cell.number.std is None:
        return ""
    return rf"{before}{{\tiny$\pm$\,{cell.number.std:.{decimals}f}}}"
