"""Pictures that were taken for something else, as a contact sheet: the most confident mistakes first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from clipprompt.datasets import open_image
from clipprompt.datasets.decoding import UnreadableImageError
from clipprompt.datasets.objects import load_drawn
from clipprompt.errors import UserError
from clipprompt.reports.drawing.figure import GREY, INK, LINE, PAPER, check_path, new_figure, save_figure
from clipprompt.reports.drawing.panel import label
from clipprompt.reports.mistakes.confusions import Confusions, Evaluated, counted
from clipprompt.reports.mistakes.predictions import Prediction

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from clipprompt.datasets.classification.sets import ClassificationSet

MOST = 40
"""Pictures of a sheet."""

SIDE = 176
"""Pixels of the longer side of a picture on a sheet."""

_COLUMNS, _TILE, _WORDS, _GAP, _HEADING = 8, 1.35, 0.5, 0.16, 0.5


@dataclass(frozen=True)
class Tile:
    """One place of a sheet; ``picture`` is None where there is none, and ``reason`` says why."""

    mistake: Prediction
    picture: Image.Image | None
    reason: str = ""


def choose_mistakes(predictions: Iterable[Prediction], n: int = MOST) -> list[Prediction]:
    """The most confident mistakes of every set in turn, each picture once.

    Args:
        predictions: of any number of runs.
        n: at most so many.
    """
    by_set: dict[str, dict[str, Prediction]] = defaultdict(dict)
    for one in predictions:
        kept = by_set[one.dataset].get(one.path)
        if not one.is_right and (kept is None or _order(one) < _order(kept)):
            by_set[one.dataset][one.path] = one
    queues = [sorted(found.values(), key=_order) for _, found in sorted(by_set.items())]
    longest = max(map(len, queues), default=0)
    in_turn = (queue[place] for place in range(longest) for queue in queues if place < len(queue))
    return sorted(islice(in_turn, n), key=lambda one: (one.dataset, _order(one)))


def open_tiles(mistakes: Iterable[Prediction]) -> Iterator[Tile]:
    """Opens the pictures, small; what cannot be opened is a tile without one, with the reason."""
    for mistake in mistakes:
        try:
            picture = _open(mistake)
            picture.thumbnail((SIDE, SIDE))
            yield Tile(mistake, picture)
        except UnreadableImageError as error:
            yield Tile(mistake, None, error.reason)
        except UserError as error:
            yield Tile(mistake, None, str(error))


def write_contact_sheet(predictions: Iterable[Prediction], path: str | Path) -> int:
    """Draws the sheet.

    Args:
        predictions: of any number of runs.
        path: of the picture; its ending (png, pdf, svg) chooses the format.

    Returns:
        How many pictures could not be opened.

    Raises:
        UserError: if there is no mistake to show, or the picture cannot be written.
    """
    check_path(path)
    tested = dict[Evaluated, Confusions]()
    tiles = list(open_tiles(choose_mistakes(counted(predictions, tested))))
    if not tiles:
        raise UserError("there is no misclassified picture to show; was clipprompt eval run with --predictions?")
    n_columns = min(_COLUMNS, len(tiles))
    cell = _TILE + _WORDS + _GAP
    wide, high = n_columns * (_TILE + _GAP) + _GAP, -(-len(tiles) // n_columns) * cell + _HEADING
    figure = new_figure(wide, high, layout=None)
    figure.text(_GAP / wide, 1 - 0.26 / high, "Misclassified: class → taken for", fontsize=10, color=INK, weight="bold")
    # Of all that was tested: where every mistake shown is one method's, it matters whose.
    said = [name for name in ("method", "dataset") if len({getattr(one, name) for one in tested}) > 1]
    for index, tile in enumerate(tiles):
        row, column = divmod(index, n_columns)
        corner = (_GAP + column * (_TILE + _GAP)) / wide, 1 - (_HEADING + row * cell + _TILE) / high
        _draw_tile(figure.add_axes((*corner, _TILE / wide, _TILE / high)), tile, said)
    save_figure(figure, path)
    return sum(tile.picture is None for tile in tiles)


def tile_words(mistake: Prediction, said: Sequence[str] = ()) -> tuple[str, str, str]:
    """What stands under a picture: its class, what it was taken for, and how surely.

    Args:
        mistake: to be told.
        said: attributes that differ between what was tested, such as ``method``; they are said as well.
    """
    sure = f"{100 * mistake.probability:.0f} %"
    return mistake.truth, f"→ {mistake.predicted}", ", ".join([sure, *(getattr(mistake, name) for name in said)])


def _order(mistake: Prediction) -> tuple[float, str, str, str, str]:
    """The most confident first; nothing depends on the order of runs."""
    return -mistake.probability, mistake.path, mistake.method, mistake.subset, mistake.predicted


def _open(mistake: Prediction) -> Image.Image:
    if mistake.folder is not None:
        return open_image(Path(mistake.folder) / mistake.path, draft=SIDE)
    drawn = _drawn_set(mistake.dataset)
    if mistake.path not in _paths(drawn):
        raise UserError(f"{mistake.dataset} has no such picture")
    return drawn.open_item(mistake.path)


@cache
def _drawn_set(name: str) -> ClassificationSet:
    return load_drawn(name)


@cache
def _paths(drawn: ClassificationSet) -> frozenset[str]:
    return frozenset(sample.path for samples in drawn.parts.values() for sample in samples)


def _draw_tile(axes: Axes, tile: Tile, said: Sequence[str]) -> None:
    axes.set(xticks=[], yticks=[], facecolor=PAPER)
    for side in axes.spines.values():
        side.set_color(LINE)
    if tile.picture is None:
        axes.text(0.5, 0.5, _wrapped(tile.reason), transform=axes.transAxes, ha="center", va="center", fontsize=6)
    else:
        width, height = tile.picture.size
        half = max(width, height) / 2
        axes.imshow(np.asarray(tile.picture), interpolation="bicubic")
        axes.set_xlim(width / 2 - half - 0.5, width / 2 + half - 0.5)
        axes.set_ylim(height / 2 + half - 0.5, height / 2 - half - 0.5)
    truth, predicted, sure = tile_words(tile.mistake, said)
    for text, y, colour in ((truth, -0.05, INK), (predicted, -0.16, INK), (sure, -0.27, GREY)):
        axes.text(0, y, label(text, 24), transform=axes.transAxes, va="top", fontsize=7, color=colour)


def _wrapped(reason: str) -> str:
    from textwrap import wrap

    return "\n".join(label(line, 22) for line in wrap(reason, 20)[:6])
