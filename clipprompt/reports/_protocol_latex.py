r"""A grid as a LaTeX table. It needs ``\usepackage{booktabs,graphicx}`` in the preamble, and nothing else."""

from __future__ import annotations

from clipprompt.reports._protocol_grid import NOTHING, PAPER, Cell, Grid

_DECIMALS = 2
"""As papers print."""
_UPRIGHT = 6
"""Of more columns than these, titles stand on end."""
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
    "–": "--",
}


def to_latex(grid: Grid) -> str:
    r"""A ``table`` with caption, rules and notes; deviations are small, the papers' numbers slanted."""
    n = len(grid.columns)
    heads = [escape_latex(grid.corner), *(_head(title, n) for title in grid.columns)]
    body = [f"{' & '.join(heads)} \\\\"]
    for block in grid.blocks:
        body.append(r"\midrule")
        if block.heading:
            body.append(rf"\multicolumn{{{n + 1}}}{{l}}{{\textbf{{{escape_latex(block.heading)}}}}} \\")
        indent = r"\quad " if block.heading else ""
        for line in block.lines:
            cells = " & ".join([indent + _italic(line.label, line.is_printed), *map(_cell, line.cells)])
            body.append(f"{cells} \\\\")
    notes = [rf"\par\smallskip {{\footnotesize {escape_latex(note)}.\par}}" for note in grid.notes]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering\small",
            rf"\caption{{{escape_latex(grid.caption)}.}}",
            rf"\begin{{tabular}}{{l{'r' * n}}}",
            r"\toprule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            *notes,
            r"\end{table}",
            "",
        ]
    )


def escape_latex(text: str) -> str:
    """Text in which LaTeX reads no command, whatever it holds."""
    return "".join(_SIGNS.get(letter, letter) for letter in text)


def _head(title: str, n_columns: int) -> str:
    text = escape_latex(title.removesuffix(PAPER))
    text = rf"\textit{{{text}}} (paper)" if title.endswith(PAPER) else text
    return rf"\rotatebox{{90}}{{{text}}}" if n_columns > _UPRIGHT else text


def _italic(label: str, is_printed: bool) -> str:
    return rf"\textit{{{escape_latex(label)}}}" if is_printed else escape_latex(label)


def _cell(cell: Cell) -> str:
    if cell.number is None:
        text = escape_latex(cell.text(_DECIMALS))
        return text if text == escape_latex(NOTHING) else rf"\textit{{{text}}}"
    mean = f"{cell.number.mean:.{_DECIMALS}f}"
    mean = rf"\textbf{{{mean}}}" if cell.is_best else mean
    spread = "" if cell.number.std is None else rf"\,{{\scriptsize$\pm$\,{cell.number.std:.{_DECIMALS}f}}}"
    return mean + spread
