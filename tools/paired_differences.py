"""How far the methods of a study are from one of its rows, run by run on the same classes and pictures.

    python -m tools.paired_differences RUNS… --baseline zero_shot

For base-to-novel, partial-label and few-shot-multilabel. Every run is compared with the baseline's run on the same
class split and seed, or, where the baseline learns nothing, with its only run on the same class split; in the same
column, or, where the baseline learns from no picture, with its only number. Mean and sample standard deviation are over
these differences, so what makes a class split or a draw easier for all methods falls out. Counted are the runs that are
above the baseline.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from clipprompt.errors import UserError, nearest
from clipprompt.reports.protocols.columns import BASE, HM, NOTHING_LEARNT, NOVEL, title_of
from clipprompt.reports.protocols.gather import gather_records
from clipprompt.reports.protocols.rows import MethodRow, Number, ProtocolTable
from clipprompt.reports.protocols.summary import summarise_protocols

_COLUMNS = (BASE, NOVEL, HM)
_PROTOCOLS = ("base-to-novel", "partial-label", "few-shot-multilabel")


def differences(ours: Number, baseline: Number) -> list[float]:
    """Of the runs that have a counterpart, in percentage points."""
    found = []
    for (class_split, seed), value in ours.values.items():
        other = baseline.values.get((class_split, seed), baseline.values.get((class_split, None)))
        if other is not None:
            found.append(value - other)
    return found


def table(of: ProtocolTable, baseline: str) -> Iterator[str]:
    """Markdown: a line for each data set and each other row that has runs to compare.

    Raises:
        UserError: if no row has that label.
    """
    labels = {row.label: row for row in of.rows}
    if baseline not in labels:
        raise UserError(f"no row is called {baseline!r}{nearest(baseline, labels)}; there are: {'; '.join(labels)}")
    by_halves = of.protocol == "base-to-novel"
    columns = _COLUMNS if by_halves else tuple(column for column in of.columns if column != NOTHING_LEARNT)
    titles = [title_of(column, of.protocol) for column in columns]
    last = ["runs above: base", "novel"] if by_halves else []
    yield f"| set | minus {baseline} | {' | '.join(titles + last)} |"
    yield "|---|---|" + "---:|" * len(titles + last)
    for dataset in of.datasets:
        for label, row in labels.items():
            found = _paired(row, labels[baseline], dataset)
            if label != baseline and found.keys() & set(columns):
                cells = _halves(found) if by_halves else [_counted(found.get(column, [])) for column in columns]
                yield f"| {dataset} | {label} | {' | '.join(cells)} |"


def _paired(row: MethodRow, baseline: MethodRow, dataset: str) -> dict[str, list[float]]:
    """Differences by column; none where no run has a counterpart."""
    everywhere = baseline.numbers.get((dataset, NOTHING_LEARNT))
    others = {column: baseline.numbers.get((dataset, column), everywhere) for _, column in row.numbers}
    found = {
        column: differences(number, other)
        for (place, column), number in row.numbers.items()
        if place == dataset and (other := others[column]) is not None
    }
    return {column: values for column, values in found.items() if values}


def _halves(found: Mapping[str, Sequence[float]]) -> list[str]:
    return [_mean(found[column]) for column in _COLUMNS] + [_above(found[column]) for column in (BASE, NOVEL)]


def _counted(values: Sequence[float]) -> str:
    return f"{_mean(values)} ({_above(values)})" if values else "–"


def _mean(values: Sequence[float]) -> str:
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):+.1f}{spread}"


def _above(values: Sequence[float]) -> str:
    return f"{sum(value > 0 for value in values)} of {len(values)}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of sweeps, or files of records")
    parser.add_argument(
        "--baseline", default="zero_shot", help="label of the row to compare with, as the report has it"
    )
    options = parser.parse_args(arguments)
    try:
        print("\n\n".join("\n".join(table(one, options.baseline)) for one in _tables(options.runs)))
    except UserError as error:
        sys.exit(str(error))


def _tables(runs: Sequence[Path]) -> list[ProtocolTable]:
    tables = [one for one in summarise_protocols(gather_records(runs).records) if one.protocol in _PROTOCOLS]
    if not tables:
        raise UserError(f"no results of {', '.join(_PROTOCOLS)} in {', '.join(map(str, runs))}")
    return tables


if __name__ == "__main__":
    main()
