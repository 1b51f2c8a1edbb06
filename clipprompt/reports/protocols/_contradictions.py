"""What each key of a record may say, and all of them together cannot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import Any

from clipprompt.printable import printable
from clipprompt.reports.protocols.columns import MULTILABEL, TUNING, learns

Record = Mapping[str, Any]
_ROUNDING = 1e-3
_HALVES = ("base-to-novel", "multilabel-zero-shot")
"""Protocols that learn some classes and test others."""


def contradiction(record: Record) -> str:
    """The first contradiction of a record whose keys are all as they should be; the empty string if there is none."""
    several = _of_several_classes(record) if record["protocol"] in MULTILABEL else _of_one_class(record)
    return next((problem for problem in [*several, *_of_all(record)] if problem), "")


def _of_one_class(record: Record) -> Iterator[str]:
    yield _length(record, "per_class_accuracy")
    if record["protocol"] == TUNING:
        yield from _of_tuning(record)


def _of_tuning(record: Record) -> Iterator[str]:
    grid, share = record["grid"], record["share"]
    if record["trained_on"] is not None and record["n_train"] == 0:
        yield f"n_train is 0, but trained_on is {printable(repr(record['trained_on']))}"
    if share is not None and record["trained_on"] is None:
        yield f"share is {share:g}, but no picture was learnt from"
    if grid is None:
        return
    values = [point["accuracy"] for point in grid["points"] if point["accuracy"] is not None]
    if grid["accuracy"] != max(values, default=None):
        best = f"the best of its points is {max(values):g}" if values else "none of its points has one"
        yield f"the accuracy of grid is {grid['accuracy']:g}, but {best}"
    elif not any(point["settings"] == grid["chosen"] for point in grid["points"]):
        yield f"what grid has chosen is none of its points: {printable(repr(grid['chosen']))}"


def _of_all(record: Record) -> Iterator[str]:
    protocol, tested = record["protocol"], record["tested_subset"]
    if protocol == "base-to-novel" and tested == "all":
        yield "tested_subset is 'all', but base-to-novel tests base and novel classes"
    if protocol not in _HALVES and tested != "all":
        yield f"tested_subset is {tested!r}, but {protocol} tests all classes"
    if protocol == "zero-shot" and record["trained_on"] is not None:
        yield f"trained_on is {record['trained_on']!r}, but nothing is learnt in zero-shot"
    if learns(record) and record["seed"] is None:
        yield f"what was learnt from {printable(record['trained_on'] or record['corpus'])} has no seed"


def _of_several_classes(record: Record) -> Iterator[str]:
    yield _length(record, "average_precision")
    yield _length(record, "n_positive")
    yield from _of_average_precision(record)
    yield from _of_sources(record)
    yield from _of_members(record)


def _of_average_precision(record: Record) -> Iterator[str]:
    values = [value for value in record["average_precision"] if value is not None]
    mean = record["mean_average_precision"]
    if not values:
        yield "average_precision has no value"
    elif abs(fmean(values) - mean) > _ROUNDING:
        yield f"mean_average_precision is {mean:g}, but the mean of average_precision is {fmean(values):g}"


def _of_sources(record: Record) -> Iterator[str]:
    source = record["learns_from"]
    for key, kinds in (("trained_on", ("images", "both")), ("corpus", ("captions", "both"))):
        value = record[key]
        if (value is not None) != (source in kinds):
            yield f"learns_from is {source!r}, but {key} is {'null' if value is None else printable(repr(value))}"
    if record["known"] is not None and record["trained_on"] is None:
        yield f"known is {record['known']!r}, but no picture was learnt from"


def _of_members(record: Record) -> Iterator[str]:
    members, weights = record["members"], record["weights"]
    if len(members) == 1:
        yield "members has one learner; an ensemble has at least two"
    if len(members) != len(weights):
        yield f"weights has {len(weights)} values for {len(members)} members"
    elif members and abs(sum(weights) - 1) > _ROUNDING:
        yield f"weights add up to {sum(weights):g}, not to 1"


def _length(record: Record, key: str) -> str:
    n_classes, n_values = len(record["classnames"]), len(record[key])
    return "" if n_classes == n_values else f"{key} has {n_values} values for {n_classes} classnames"
