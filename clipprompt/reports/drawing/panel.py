"""Panels: small plots, of which a file shows a grid, and which a page lays out itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from rich.cells import cell_len

from clipprompt.printable import printable
from clipprompt.reports.drawing.figure import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    plain,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

COLOURS = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, INK)
SHAPES = ("o", "s", "D", "^", "v", "P", "X", "*", "<", ">", "p", "h")
SIGNS = dict(zip(SHAPES, "●■◆▲▼✚✖★◀▶⬟⬢", strict=True))
LETTER = 0.072
"""Inches that a letter of a tick label takes, rather too many than too few."""
_LETTERS = 32
"""Of a name: ``dualcoop+tai_dpt (transductive)`` is not cut."""
_PIECES = re.compile(r"[^\W_]+|[\W_]")
"""Words, and what stands between them letter by letter."""


@dataclass(frozen=True)
class Style:
    """How a method looks in all plots of a report; told apart by colour and by shape."""

    colour: str
    shape: str

    @property
    def sign(self) -> str:
        """The shape as a letter."""
        return SIGNS[self.shape]

    @property
    def size(self) -> float:
        """Points across, so that all shapes seem equally large."""
        return 12.0 if self.shape == "*" else 7.0 if self.shape in "sD" else 8.0


@dataclass(frozen=True)
class Panel:
    """One small plot.

    Attributes:
        title: above it.
        alt: what it shows, in words.
        draw: into axes of matplotlib.
        size: width and height in inches, without the title.
        left, bottom: room for tick labels, in inches.
        right: room for what is written beside the axes.
    """

    title: str
    alt: str
    draw: Callable[[Axes], None]
    size: tuple[float, float]
    left: float = 0.5
    right: float = 0.1
    bottom: float = 0.4


def styles(names: Sequence[str]) -> dict[str, Style]:
    """A look for each of the names, the same whenever they come in the same order."""
    return {
        name: Style(COLOURS[index % len(COLOURS)], SHAPES[index % len(SHAPES)])
        for index, name in enumerate(dict.fromkeys(names))
    }


def label(text: str, n_letters: int = _LETTERS) -> str:
    """A name of anybody's, as a short text that matplotlib draws as it is."""
    return plain(_short(text, n_letters))


def room(names: Sequence[str], n_letters: int = _LETTERS) -> float:
    """Inches that the longest of the names takes."""
    return LETTER * max((cell_len(_short(name, n_letters)) for name in names), default=0)


def _short(text: str, n_letters: int) -> str:
    """A long name without its middle, cut between words, as rows of one method differ at the end: ``coop, n_ctx=4``."""
    text = printable(text)
    if len(text) <= n_letters:
        return text
    start, pieces = n_letters // 3, _PIECES.findall(text)
    head = "".join(_fitting(pieces, start)).rstrip(" _(") or text[:start]
    rest = n_letters - 1 - len(head)
    tail = "".join(reversed(_fitting(reversed(pieces), rest))).lstrip(" _,")
    return f"{head}…{tail if len(tail) > rest // 2 else text[-rest:].lstrip()}"  # a word may be too long for its place


def _fitting(pieces: Iterable[str], n_letters: int) -> list[str]:
    """As many of the first pieces as have room."""
    some = list(pieces)
    return [piece for piece, end in zip(some, accumulate(map(len, some)), strict=True) if end <= n_letters]


def even_ticks(axis: Axis) -> None:
    """Ticks at 1, 2, 5, 10 or 20 percent."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10], integer=True))


def place(figure: Figure, panel: Panel, x: float, y: float) -> None:
    """Draws the panel without its title, with its upper left corner at (x, y) inches from that of the figure."""
    wide, high = figure.get_size_inches()
    width, height = panel.size
    inner = (width - panel.left - panel.right, height - panel.bottom - 0.08)
    corner = ((x + panel.left) / wide, 1 - (y + 0.08 + inner[1]) / high)
    axes = figure.add_axes((*corner, inner[0] / wide, inner[1] / high))
    axes.patch.set_visible(False)
    axes.tick_params(axis="both", length=0, labelsize=8, labelcolor=INK)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)
    panel.draw(axes)
