"""What all pictures share: colours, a figure without pyplot, and atomic saving."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

from clipprompt.errors import UserError, nearest
from clipprompt.files import replace_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart with every common kind of colour blindness.
BLUE, ORANGE, GREEN, PURPLE, VERMILION, SKY = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9"
LIGHT_BLUE = "#A6CDE8"
INK, GREY, SILVER, LINE, PAPER = "#222222", "#6B6F76", "#BFC5CC", "#E2E2E2", "#F2F3F5"
MARKS = (("o", ORANGE), ("s", GREEN), ("D", PURPLE), ("^", VERMILION), ("v", SKY), ("P", INK))
FORMATS = ("png", "pdf", "svg")


def new_figure(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Figure:
    """An empty white figure of so many inches; ``constrained`` lays itself out, None leaves it to the caller."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="white", layout=layout)
    if layout == "constrained":
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)  # type: ignore[union-attr, call-arg]
    FigureCanvasAgg(figure)
    return figure


def plain(text: str) -> str:
    """Text that stands as it is: matplotlib would read what is between two dollar signs as a formula."""
    return text.replace("$", r"\$")


def shorten(text: str, n_letters: int) -> str:
    """Text cut to a number of letters."""
    return text if len(text) <= n_letters else f"{text[: n_letters - 1].rstrip()}…"


def check_path(path: str | Path) -> str:
    """The format of a picture by the ending of its name.

    Raises:
        UserError: for an ending that is not png, pdf or svg.
    """
    suffix = Path(path).suffix.lower().removeprefix(".")
    if suffix not in FORMATS:
        hint = nearest(suffix, FORMATS)
        raise UserError(f"cannot draw {path}: its ending must be one of {', '.join(FORMATS)}{hint}")
    return suffix


def save_figure(figure: Figure, path: str | Path, dpi: int = 130) -> None:
    """Writes the figure, whole or not at all.

    Raises:
        UserError: as :func:`check_path`, or for a place that cannot be written.
    """
    ending = check_path(path)
    with replace_file(path) as part:
        draw_to(figure, part, ending, dpi)


def draw_to(
    figure: Figure, file: str | Path | IO[bytes], ending: str, dpi: int = 130, *, text_as_paths: bool = True
) -> None:
    """Draws the figure; equal figures make equal bytes.

    Args:
        figure: to be drawn.
        file: a path or an open file.
        ending: png, pdf or svg.
        dpi: dots of an inch of a png.
        text_as_paths: in an svg, draw letters, so that no font is needed; otherwise leave them to the reader's.
    """
    import matplotlib as mpl

    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    letters = "path" if text_as_paths else "none"
    with mpl.rc_context({"svg.hashsalt": "clipprompt", "svg.fonttype": letters}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # of a script that the font lacks: a box
        figure.savefig(file, format=ending, dpi=dpi, metadata=dates.get(ending))
