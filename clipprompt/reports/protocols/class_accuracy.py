"""The classes that a method finds worst, over its runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from clipprompt.reports.protocols.settings import Record


class ClassAccuracy(NamedTuple):
    """A class and its accuracy in percent, the mean over the runs that tested it."""

    name: str
    percent: float


def worst_classes(records: Sequence[Record], n: int = 5) -> list[ClassAccuracy]:
    """The ``n`` classes of the lowest accuracy, the worst first, equal ones by name.

    Args:
        records: of one method on one data set and one subset of its classes; classes without a picture are left out.
        n: at most so many.
    """
    values: dict[str, list[float]] = defaultdict(list)
    for record in records:
        for name, accuracy in zip(record["classnames"], record["per_class_accuracy"], strict=True):
            if accuracy is not None:
                values[name].append(100 * accuracy)
    means = [ClassAccuracy(name, fmean(found)) for name, found in values.items()]
    return sorted(means, key=lambda entry: (entry.percent, entry.name))[:n]
