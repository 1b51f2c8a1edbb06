"""Which classes are taken for which: counts, the most confused pairs, CSV, and a matrix as a picture."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from clipprompt.errors import UserError
from clipprompt.files import write_text
from clipprompt.printable import printable
from clipprompt.reports._figure import FORMATS, GREY, INK, check_path, new_figure, save_figure
from clipprompt.reports._panel import label
from clipprompt.reports.predictions import Prediction

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_CLASSES = 50
"""Classes of a matrix that are all drawn; of more, the most confused are."""

_SHOWN, _MOST_MATRICES = 30, 12


class Evaluated(NamedTuple):
    """What was tested: a method, a data set and a subset of its classes."""

    method: str
    dataset: str
    subset: str

    def __str__(self) -> str:
        of_method = f"{self.method} on " if self.method else ""
        return f"{of_method}{self.dataset}{'' if self.subset == 'all' else f', {self.subset} classes'}"


class ConfusedPair(NamedTuple):
    """Pictures of ``truth`` that were taken for ``predicted``: ``n_images`` of the class's ``n_of_class``."""

    truth: str
    predicted: str
    n_images: int
    n_of_class: int

    @property
    def share(self) -> float:
        """Of the class's pictures, in 0..1."""
        return self.n_images / self.n_of_class


@dataclass(frozen=True)
class Confusions:
    """How often each class was taken for each, over all runs that were counted.

    Attributes:
        counts: by (truth, predicted), without zeros.
        totals: pictures by class.
    """

    counts: Counter[tuple[str, str]]
    totals: Counter[str]

    @property
    def classnames(self) -> list[str]:
        """All classes, tested or predicted, by name."""
        return sorted({name for pair in self.counts for name in pair})

    def pairs(self, n: int | None = None) -> list[ConfusedPair]:
        """The most confused pairs, most pictures first; of equal ones by share of the class, then by name."""
        found = [
            ConfusedPair(truth, predicted, count, self.totals[truth])
            for (truth, predicted), count in self.counts.items()
            if truth != predicted
        ]
        return sorted(found, key=lambda pair: (-pair.n_images, -pair.share, pair.truth, pair.predicted))[:n]

    def matrix(self, names: Sequence[str]) -> npt.NDArray[np.float64]:
        """Shares of each class's pictures, (C, C), a row to a true class; a class without pictures is zeros."""
        shares = np.zeros((len(names), len(names)))
        for row, truth in enumerate(names):
            for column, predicted in enumerate(names):
                shares[row, column] = self.counts[truth, predicted] / max(self.totals[truth], 1)
        return shares

    def most_confused(self, n: int) -> list[str]:
        """At most ``n`` classes, by name: those of the most confused pairs; where nothing is confused, any."""
        names = dict.fromkeys(name for pair in self.pairs() for name in (pair.truth, pair.predicted))
        return sorted(list(names)[:n]) or self.classnames[:n]


def count_confusions(predictions: Iterable[Prediction]) -> dict[Evaluated, Confusions]:
    """Counts predictions by what was evaluated, in the order in which that first appears."""
    found: dict[Evaluated, Confusions] = {}
    for _ in counted(predictions, found):
        pass
    return found


def counted(predictions: Iterable[Prediction], found: dict[Evaluated, Confusions]) -> Iterator[Prediction]:
    """Hands predictions on, counted into ``found``: of millions, none is kept."""
    for one in predictions:
        evaluated = Evaluated(one.method, one.dataset, one.subset)
        confusions = found.setdefault(evaluated, Confusions(Counter(), Counter()))
        confusions.counts[one.truth, one.predicted] += 1
        confusions.totals[one.truth] += 1
        yield one


def check_confusions_path(path: str | Path) -> None:
    """Checks the ending of a file of confusions.

    Raises:
        UserError: if it is not csv, png, pdf or svg.
    """
    suffix = Path(path).suffix.lower().removeprefix(".")
    if suffix not in ("csv", *FORMATS):
        raise UserError(f"cannot write confusions to {path}: its ending must be one of csv, {', '.join(FORMATS)}")


def write_confusions(found: dict[Evaluated, Confusions], path: str | Path) -> None:
    """Writes a CSV of all confused pairs, or draws matrices, as the ending says.

    Args:
        found: of :func:`count_confusions`.
        path: with the ending csv, png, pdf or svg.

    Raises:
        UserError: for another ending, for no predictions, or a place that cannot be written.
    """
    check_confusions_path(path)
    if not found:
        raise UserError("there are no predictions to count; run clipprompt eval with --predictions")
    if Path(path).suffix.lower() == ".csv":
        write_text(path, confusions_csv(found))
    else:
        plot_confusions(found, path)


def confusions_csv(found: dict[Evaluated, Confusions]) -> str:
    """A line for each pair of classes that were confused: how many pictures, of how many, the worst first."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["method", "dataset", "subset", "class", "predicted", "n_images", "n_images_of_class", "percent"])
    for tested, confusions in found.items():
        for pair in confusions.pairs():
            names = [printable(name) for name in (*tested, pair.truth, pair.predicted)]
            writer.writerow([*names, pair.n_images, pair.n_of_class, f"{100 * pair.share:.2f}"])
    return text.getvalue()


def plot_confusions(found: dict[Evaluated, Confusions], path: str | Path) -> None:
    """Draws a matrix for each tested set; of more than ``MOST_CLASSES`` classes the most confused.

    Raises:
        UserError: for an ending that is not png, pdf or svg, for too many matrices, or a place that cannot be written.
    """
    check_path(path)
    if len(found) > _MOST_MATRICES:
        raise UserError(f"{path}: {len(found)} matrices are too many for a picture; give fewer runs, or a .csv file")
    chosen = [(tested, confusions, _chosen(confusions)) for tested, confusions in found.items()]
    sides = [2.6 + 0.21 * max(len(names), 6) for _, _, names in chosen]
    figure = new_figure(max(sides) + 0.4, sum(sides) + 0.3)
    rows = figure.subplots(len(chosen), 1, squeeze=False, height_ratios=sides)[:, 0]
    for axes, (tested, confusions, names) in zip(rows, chosen, strict=True):
        _draw_matrix(axes, confusions.matrix(names), names)
        of = (
            f", the most confused {len(names)} of {n} classes" if len(names) < (n := len(confusions.classnames)) else ""
        )
        axes.set_title(label(f"{tested}{of}", 80), fontsize=11, color=INK, loc="left")
    save_figure(figure, path)


def _chosen(confusions: Confusions) -> list[str]:
    names = confusions.classnames
    return names if len(names) <= MOST_CLASSES else confusions.most_confused(_SHOWN)


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
