"""Records to table rows: percent, mean and standard deviation over runs, and the published number beside."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

from clipprompt.printable import printable
from clipprompt.reports.multilabel.published import Published

# Runs that agree in all of these are runs of one row; only the seed may differ.
_SAME_ROW = (
    "row",
    "branch",
    "dataset",
    "split_hash",
    "class_hash",
    "backbone",
    "pretrained",
    "fingerprint",
    "precision",
    "draft",
    "cached",
    "dataset_options",
    "normalise",
    "threshold",
    "probabilities",
)
# Headings of what stands beside mAP, and where a record holds it. @3: of the 3 best labels of every image.
METRICS = {
    "CF1": ("at_threshold", "CF1"),
    "OF1": ("at_threshold", "OF1"),
    "CF1@3": ("at_top3", "CF1"),
    "OF1@3": ("at_top3", "OF1"),
    "ECE": ("calibration_error",),
}


@dataclass(frozen=True)
class SummaryRow:
    """One line of a table. Numbers are in percent.

    Attributes:
        name: of the row.
        mean: over the runs; None for a row that only the paper has.
        std: sample standard deviation over the runs; None for a single run.
        n_runs: how many runs there are.
        published: the paper's number, where there is one.
        average_precision: mean over the runs per class; None where a class has no positive.
        metrics: means over the runs by the names of ``METRICS``; None where the records lack one.
        probabilities: what the threshold and ECE see: sigmoid, calibrated or given; None for nothing.
    """

    name: str
    mean: float | None
    std: float | None
    n_runs: int
    published: float | None
    average_precision: tuple[float | None, ...] = ()
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    probabilities: str | None = None


def summarise(
    records: Sequence[Mapping[str, Any]], published: Mapping[tuple[str, str], Published] | None = None
) -> list[SummaryRow]:
    """Groups the runs of a row, in the order in which rows first appear.

    Published rows that no record answers to come last. Controls of ours never get a published number.

    Args:
        records: multi-label records.
        published: by (method, branch), from :func:`clipprompt.reports.multilabel.published.load_published`.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        groups.setdefault(json.dumps([record.get(key) for key in _SAME_ROW]), []).append(record)
    rest = dict(published or {})
    rows = [_summary(group, published or {}, rest) for group in groups.values()]
    return rows + [SummaryRow(f"{entry.name} (paper)", None, None, 0, entry.percent) for entry in rest.values()]


def _summary(
    group: Sequence[Mapping[str, Any]],
    published: Mapping[tuple[str, str], Published],
    rest: dict[tuple[str, str], Published],
) -> SummaryRow:
    first = group[0]
    values = [100 * record["mean_average_precision"] for record in group]
    key = (first["method"], first["branch"])
    beside = None if first["control"] else published.get(key)
    if beside is not None:
        rest.pop(key, None)
    return SummaryRow(
        name=printable(first["row"]),
        mean=fmean(values),
        std=stdev(values) if len(values) > 1 else None,
        n_runs=len(values),
        published=beside.percent if beside is not None else None,
        average_precision=tuple(
            None if column[0] is None else 100 * fmean(column)
            for column in zip(*(record["average_precision"] for record in group), strict=True)
        ),
        metrics={name: _mean(group, place) for name, place in METRICS.items()},
        probabilities=first.get("probabilities"),
    )


def _mean(group: Sequence[Mapping[str, Any]], place: Sequence[str]) -> float | None:
    """The mean in percent of a number inside records; None if one of them lacks it."""
    values: list[float] = []
    for record in group:
        value: Any = record
        for key in place:
            value = None if value is None else value.get(key)
        if value is None:
            return None
        values.append(100 * value)
    return fmean(values)


def describe(records: Sequence[Mapping[str, Any]]) -> str:
    """What the rows were measured on, in one line; what differs between records says so."""
    n_classes = len(records[0]["average_precision"])
    tags = {record.get("pretrained") for record in records}
    parts = [
        _join(_values(records, "dataset")),
        _join([f"{number} images" for number in _values(records, "n_images")]),
        "several class lists" if len(_values(records, "class_hash")) > 1 else f"{n_classes} classes",
        _join(_values(records, "backbone")) + (f" ({tags.pop()})" if len(tags) == 1 and None not in tags else ""),
        *(f"scores normalised per {_AXES[how]}" for how in _values(records, "normalise") if how != "none"),
    ]
    return printable(", ".join(part for part in parts if part))


_AXES = {"image": "image", "prompt": "prompt", "both": "prompt and image"}


def _values(records: Sequence[Mapping[str, Any]], key: str) -> list[Any]:
    """The different values of a key, in order, without None."""
    return [value for value in dict.fromkeys(record.get(key) for record in records) if value is not None]


def _join(values: Sequence[Any]) -> str:
    return str(values[0]) if len(values) == 1 else f"several: {', '.join(map(str, values))}" if values else ""
