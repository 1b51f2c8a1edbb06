"""Confusions as files: a line to each pair of classes, or matrices as a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from clipprompt.errors import UserError
from clipprompt.files import write_text
from clipprompt.printable import printable
from clipprompt.reports.drawing.figure import FORMATS, GREY, INK, new_figure, save_figure
from clipprompt.reports.drawing.panel import label
from clipprompt.reports.mistakes.confusions import Confusions, Evaluated

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ALL, _MOST, _MATRICES = 50, 30, 12
"""Classes of a matrix that are all drawn, those drawn of more, and how many matrices one picture holds."""


def check_confusions_path(path: str | Path) -> None:
    """Checks the ending of a file of confusions.

    Raises:
        UserError: if it is not csv, png, pdf or svg.
    """
    suffix = Path(path).suffix.lower().removeprefix(".")
    if suffix not in ("csv", *FORMATS):
        raise UserError(f"cannot write confusions to {path}: its ending must be one of csv, {', '.join(FORMATS)}")


def write_confusions(found: Mapping[Evaluated, Confusions], path: str | Path) -> None:
    """Writes a CSV of all confused pairs, or draws matrices, as the ending says.

    Args:
        found: of :func:`count_confusions`.
        path: with the ending csv, png, pdf or svg.

    Raises:
        UserError: for another ending, for no predictions, for too many matrices, or a place that cannot be written.
    """
    check_confusions_path(path)
    if not found:
        raise UserError("there are no predictions to count; run clipprompt eval with --predictions")
    if Path(path).suffix.lower() == ".csv":
        write_text(path, _csv(found))
    else:
        _plot(found, path)


def _csv(found: Mapping[Evaluated, Confusions]) -> str:
    """A line for each pair of classes that were confused: how many pictures, of how many, the worst first."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["method", "dataset", "subset", "class", "predicted", "n_images", "n_images_of_class", "percent"])
    for tested, confusions in found.items():
        for pair in confusions.pairs():
            names = [printable(name) for name in (*tested, pair.truth, pair.predicted)]
            writer.writerow([*names, pair.n_images, pair.n_of_class, f"{100 * pair.share:.2f}"])
    return text.getvalue()


def _plot(found: Mapping[Evaluated, Confusions], path: str | Path) -> None:
    if len(found) > _MATRICES:
        raise UserError(f"{path}: {len(found)} matrices are too many for a picture; give fewer runs, or a .csv file")
    chosen = [(tested, confusions, _chosen(confusions)) for tested, confusions in found.items()]
    sides = [2.6 + 0.21 * max(len(names), 6) for _, _, names in chosen]
    figure = new_figure(max(sides) + 0.4, sum(sides) + 0.3)
    rows = figure.subplots(len(chosen), 1, squeeze=False, height_ratios=sides)[:, 0]
    for axes, (tested, confusions, names) in zip(rows, chosen, strict=True):
        _draw_matrix(axes, confusions.matrix(names), names)
        of = f", {len(names)} of {n} classes" if len(names) < (n := len(confusions.classnames)) else ""
        axes.set_title(label(f"{tested}{of}", 80), fontsize=11, color=INK, loc="left")
    save_figure(figure, path)


def _chosen(confusions: Confusions) -> list[str]:
    names = confusions.classnames
    return names if len(names) <= _ALL else confusions.most_confused(_MOST)


def _draw_matrix(axes: Axes, shares: npt.NDArray[np.float64], names: Sequence[str]) -> None:
    axes.imshow(100 * shares, cmap="Blues", vmin=0, vmax=100)
    for row, column in zip(*np.nonzero(shares), strict=True):
        percent = 100 * shares[row, column]
        colour = "white" if percent > 55 else INK
        axes.text(column, row, f"{percent:.0f}", ha="center", va="center", fontsize=6, color=colour)
    shown = [label(name, 22) for name in names]
    axes.set_yticks(range(len(names)), shown, fontsize=7.5, color=INK)
    axes.set_xticks(range(len(names)), shown, fontsize=7.5, color=INK, rotation=90)
    axes.set_ylabel("class", fontsize=8, color=GREY)
    axes.set_xlabel("taken for (percent of the pictures of a class)", fontsize=8, color=GREY)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
