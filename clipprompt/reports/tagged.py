"""Pictures with their top labels as score bars, in a grid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from clipprompt.errors import UserError
from clipprompt.reports.drawing.figure import (
    BLUE,
    GREY,
    INK,
    LIGHT_BLUE,
    PAPER,
    SILVER,
    new_figure,
    plain,
    save_figure,
    shorten,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL import Image

Matrix = npt.NDArray[Any]
_COLUMNS = 3
# Colour and mark of a bar by what is known of the label, so that neither has to be told by colour alone.
_LOOK = {1: (BLUE, "✓ "), 0: (SILVER, ""), -1: (LIGHT_BLUE, "? ")}


def plot_tagged_images(
    images: Sequence[Image.Image],
    labels: Sequence[str],
    scores: Matrix,
    truths: Matrix,
    path: str | Path,
    *,
    n_labels: int = 5,
    title: str = "",
    score_name: str = "score",
) -> None:
    """Draws images in rows of three, each above its best labels as bars.

    All bars share one scale, from the lowest to the highest score in ``scores``; the number behind a bar is the score
    as given. True labels that are not among the best stand below with their rank.

    Args:
        images: n images.
        labels: C class names.
        scores: (n, C), finite.
        truths: (n, C) of 1 present, 0 absent, -1 unknown.
        path: of the picture; its ending (png, pdf, svg) chooses the format.
        n_labels: how many bars an image gets.
        title: above the grid.
        score_name: what the legend calls the scores.

    Raises:
        UserError: if the shapes do not fit, a score is not finite, or the picture cannot be written.
    """
    scores, truths = np.asarray(scores, dtype=np.float64), np.asarray(truths)
    shape = (len(images), len(labels))
    if scores.shape != shape or truths.shape != shape or not images:
        raise UserError(f"scores {scores.shape} and truths {truths.shape} must both be (images, labels) = {shape}")
    if not np.isfinite(scores).all():
        raise UserError("cannot draw scores that are not finite")
    n_labels = min(n_labels, len(labels))
    sheet = _Sheet(images, n_labels)
    limits = float(scores.min()), float(scores.max())
    for index, image in enumerate(images):
        _draw_image(sheet.picture(index), image, sheet.picture_height)
        _draw_bars(sheet.bars(index), labels, scores[index], truths[index], n_labels, limits)
    _add_heading(sheet, title, score_name)
    save_figure(sheet.figure, path)


class _Sheet:
    """Places in inches, so that pictures of any shape stand in straight columns."""

    margin, gap, heading, width, bar = 0.35, 0.4, 0.4, 3.6, 0.25

    def __init__(self, images: Sequence[Image.Image], n_labels: int) -> None:
        # The tallest picture sets the frame of all, up to a square.
        tallest = max(image.height / image.width for image in images)
        self.picture_height = self.width * min(max(tallest, 0.6), 1.0)
        self.n_columns = min(_COLUMNS, len(images))
        self.bars_height = self.bar * (n_labels + 1)
        self.cell = 0.1 + self.picture_height + self.bars_height + self.gap
        self.size = (
            2 * self.margin + self.n_columns * (self.width + self.gap) - self.gap,
            self.margin + self.heading + -(-len(images) // _COLUMNS) * self.cell,
        )
        self.figure = new_figure(*self.size, layout=None)

    def picture(self, index: int) -> Axes:
        return self._axes(index, 0.0, self.picture_height)

    def bars(self, index: int) -> Axes:
        return self._axes(index, self.picture_height + 0.1, self.bars_height)

    def _axes(self, index: int, below: float, height: float) -> Axes:
        row, column = divmod(index, _COLUMNS)
        left = self.margin + column * (self.width + self.gap)
        top = self.size[1] - self.margin - self.heading - row * self.cell - below
        wide, high = self.size
        return self.figure.add_axes((left / wide, (top - height) / high, self.width / wide, height / high))


def _draw_image(axes: Axes, image: Image.Image, height: float) -> None:
    axes.set_facecolor(PAPER)
    axes.imshow(np.asarray(image.convert("RGB")), interpolation="bicubic" if image.width < 200 else "antialiased")
    # Fill the frame around a picture of another shape instead of shrinking the frame.
    frame = _Sheet.width / height
    wide, high = max(image.width, image.height * frame), max(image.height, image.width / frame)
    axes.set_xlim((image.width - wide) / 2 - 0.5, (image.width + wide) / 2 - 0.5)
    axes.set_ylim((image.height + high) / 2 - 0.5, (image.height - high) / 2 - 0.5)
    axes.set(xticks=[], yticks=[])
    for side in axes.spines.values():
        side.set_visible(False)


def _draw_bars(
    axes: Axes, labels: Sequence[str], scores: Matrix, truths: Matrix, n_labels: int, limits: tuple[float, float]
) -> None:
    order = np.argsort(-scores, kind="stable").tolist()
    low, high = limits
    for place, index in enumerate(order[:n_labels]):
        colour, mark = _LOOK[int(truths[index])]
        length = (scores[index] - low) / (high - low) if high > low else 0.0
        axes.barh(place, length, height=0.72, color=colour)
        name = plain(mark + shorten(labels[index], 20))
        weight = "bold" if truths[index] == 1 else "normal"
        axes.text(-0.03, place, name, ha="right", va="center", fontsize=10, color=INK, weight=weight)
        axes.text(length + 0.02, place, f"{scores[index]:.2f}", va="center", fontsize=9, color=GREY)
    axes.text(-0.72, n_labels, _missed(labels, order, truths, n_labels), va="center", fontsize=9, color=GREY)
    axes.set_xlim(-0.72, 1.2)
    axes.set_ylim(n_labels + 0.5, -0.5)
    axes.axis("off")


def _missed(labels: Sequence[str], order: Sequence[int], truths: Matrix, n_labels: int) -> str:
    """The true labels below the shown ones, with their rank."""
    below = list(enumerate(order[n_labels:], n_labels + 1))
    missed = [f"{labels[index]} (no. {rank})" for rank, index in below if truths[index] == 1]
    return plain(shorten(f"also there: {', '.join(missed)}", 48)) if missed else ""


def _add_heading(sheet: _Sheet, title: str, score_name: str) -> None:
    from matplotlib.patches import Patch

    left, top = sheet.margin / sheet.size[0], 1 - sheet.margin / sheet.size[1]
    sheet.figure.text(left, top, plain(title), fontsize=15, color=INK, weight="bold", va="center")
    handles = [
        Patch(color=BLUE, label="✓ in the picture"),
        Patch(color=SILVER, label=f"not in it    (bars: {score_name})"),
    ]
    sheet.figure.legend(
        handles=handles,
        loc="center right",
        bbox_to_anchor=(1 - left, top),
        ncols=2,
        fontsize=10,
        frameon=False,
        borderpad=0,
        borderaxespad=0,
        labelcolor=INK,
    )
