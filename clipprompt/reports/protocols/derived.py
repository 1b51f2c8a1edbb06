"""Numbers that no record has: harmonic means of base and novel, averages over shares of labels, averages over sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from clipprompt.evaluation.accuracy import harmonic_mean
from clipprompt.reports.protocols.columns import AVERAGE, BASE, HM, NOVEL, SHARES
from clipprompt.reports.protocols.rows import MethodRow, Number, Place


def derived_columns(protocol: str, measured: Sequence[str]) -> list[str]:
    """Columns that a table has beside those that were measured."""
    if {BASE, NOVEL} <= set(measured):
        return [HM]
    return [AVERAGE] if protocol == "partial-label" and set(SHARES) <= set(measured) else []


def with_derived(protocol: str, numbers: Mapping[Place, Number]) -> dict[Place, Number]:
    """Adds HM where base and novel are there, from the same runs; and the average where all nine shares are there."""
    found = dict(numbers)
    for dataset in dict.fromkeys(dataset for dataset, _ in numbers):
        base, novel = numbers.get((dataset, BASE)), numbers.get((dataset, NOVEL))
        if base and novel and base.values.keys() == novel.values.keys():
            values = {run: harmonic_mean(base.values[run], novel.values[run]) for run in base.values}
            found[dataset, HM] = Number(harmonic_mean(base.mean, novel.mean), values)
        shares = [numbers[dataset, share] for share in SHARES if (dataset, share) in numbers]
        if protocol == "partial-label" and len(shares) == len(SHARES):
            found[dataset, AVERAGE] = average(shares)
    return found


def with_averages(protocol: str, row: MethodRow, averaged: Sequence[str | None], columns: Sequence[str]) -> MethodRow:
    """Averages over sets stand only where there is more than one set to average over."""
    numbers = dict(row.numbers)
    for column in columns if len(averaged) > 1 else ():
        found = [numbers[name, column] for name in averaged if (name, column) in numbers]
        if found:
            numbers[None, column] = average(found)
    return replace(row, numbers=with_derived(protocol, numbers))


def average(numbers: Sequence[Number]) -> Number:
    """Mean of means, and the means of those runs that all of them have.

    Args:
        numbers: at least one.
    """
    runs = [run for run in numbers[0].values if all(run in number.values for number in numbers)]
    values = {run: fmean(number.values[run] for number in numbers) for run in runs}
    return Number(fmean(number.mean for number in numbers), values)
