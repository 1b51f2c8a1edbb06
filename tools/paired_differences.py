"""How far the methods of a base-to-novel study are from one of its rows, run by run on the same classes.

    python -m tools.paired_differences RUNS… --baseline zero_shot

Every run is compared with the baseline's run on the same class split and seed, or, where the baseline learns nothing,
with its only run on the same class split. Mean and sample standard deviation are over these differences, so what makes
a class split easier for all methods falls out. The last columns count the runs that are above the baseline.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from clipprompt.errors import UserError, nearest
from clipprompt.reports.protocols.gather import gather_records
from clipprompt.reports.protocols.columns import BASE, HM, NOVEL
from clipprompt.reports.protocols.rows import MethodRow, Number, ProtocolTable
from clipprompt.reports.protocols.summary import summarise_protocols

_COLUMNS = {BASE: "Base", NOVEL: "Novel", HM: "HM"}


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
    yield f"| set | minus {baseline} | " + " | ".join(_COLUMNS.values()) + " | runs above: base | novel |"
    yield "|---|---|" + "---:|" * (len(_COLUMNS) + 2)
    for dataset in of.datasets:
        for label, row in labels.items():
            found = _paired(row, labels[baseline], dataset)
            if label != baseline and found:
                yield f"| {dataset} | {label} | {' | '.join(_cells(found))} |"


def _paired(row: MethodRow, baseline: MethodRow, dataset: str) -> dict[str, list[float]]:
    """Differences by column; none where no run has a counterpart."""
    places = [place for place in row.numbers if place[0] == dataset and place in baseline.numbers]
    found = {place[1]: differences(row.numbers[place], baseline.numbers[place]) for place in places}
    return {column: values for column, values in found.items() if values}


def _cells(found: Mapping[str, Sequence[float]]) -> Iterator[str]:
    for values in (found[column] for column in _COLUMNS):
        spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
        yield f"{statistics.mean(values):+.1f}{spread}"
    for values in (found[column] for column in (BASE, NOVEL)):
        yield f"{sum(value > 0 for value in values)} of {len(values)}"


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
    tables = [one for one in summarise_protocols(gather_records(runs).records) if one.protocol == "base-to-novel"]
    if not tables:
        raise UserError(f"no results of base-to-novel in {', '.join(map(str, runs))}")
    return tables


if __name__ == "__main__":
    main()
