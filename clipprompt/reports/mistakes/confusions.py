"""Which classes are taken for which: counts, and the most confused pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from clipprompt.reports.mistakes.predictions import Prediction


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
