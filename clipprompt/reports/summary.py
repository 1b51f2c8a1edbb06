"""Records to table rows: percent, mean and standard deviation over runs, and the published number beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from clipprompt.reports.published import Published

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
)


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
    """

    name: str
    mean: float | None
    std: float | None
    n_runs: int
    published: float | None
    average_precision: tuple[float | None, ...] = ()


def summarise(
    records: Sequence[Mapping[str, Any]], published: Mapping[tuple[str, str], Published] | None = None
) -> list[SummaryRow]:
    """Groups the runs of a row, in the order in which rows first appear.

    Published rows that no record answers to come last. Controls of ours never get a published number.

    Args:
        records: multi-label records.
        published: by (method, branch), from :func:`clipprompt.reports.published.load_published`.
    """
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for record in records:
        groups.setdefault(tuple(record[key] for key in _SAME_ROW), []).append(record)
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
        name=first["row"],
        mean=fmean(values),
        std=stdev(values) if len(values) > 1 else None,
        n_runs=len(values),
        published=beside.percent if beside is not None else None,
        average_precision=tuple(
            None if column[0] is None else 100 * fmean(column)
            for column in zip(*(record["average_precision"] for record in group), strict=True)
        ),
    )


def describe(records: Sequence[Mapping[str, Any]]) -> str:
    """What the rows were measured on, in one line; what differs between records says so."""
    parts = []
    for key, text in (("dataset", "{}"), ("n_images", "{} images"), ("class_hash", None), ("backbone", "{}")):
        values = list(dict.fromkeys(record[key] for record in records))
        if text is None:
            sizes = list(dict.fromkeys(len(record["classnames"]) for record in records))
            parts.append(f"{sizes[0]} classes" if len(values) == 1 else "several class lists")
        else:
            parts.append(text.format(values[0]) if len(values) == 1 else f"several: {', '.join(map(str, values))}")
    tags = list(dict.fromkeys(record["pretrained"] for record in records))
    return ", ".join(parts) + (f" ({tags[0]})" if len(tags) == 1 and tags[0] else "")
