"""Tables of protocols as CSV: one number a line, so that nothing has to be taken apart again."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import product

from clipprompt.printable import printable
from clipprompt.reports.protocols.columns import ACCURACY, BY_SHOTS, TUNING, column_of, measure_of
from clipprompt.reports.protocols.groups import GROUPS, PARAMS, TUNED, groups_of, whole, wins_of
from clipprompt.reports.protocols.papers.found import Papers, differs
from clipprompt.reports.protocols.rows import MethodRow, Number, Place, ProtocolTable
from clipprompt.reports.protocols.settings import chosen, setting_of

FIELDS = (
    *("table", "protocol", "part", "backbone", "pretrained", "fingerprint", "precision", "source", "method", "row"),
    *("setting", "dataset", "shots", "known", "metric", "mean", "std", "n_runs", "published", "differs"),
)
_OF_TUNING = ("share", "chosen")
"""What else stands there of visual-tuning: the share of the training pictures in percent, and settings of the grid."""
SETS_AVERAGE = "average"


def to_csv(tables: Sequence[ProtocolTable], papers: Sequence[Papers]) -> str:
    """All numbers, in percent. ``table`` counts from 1; the data set of averages over sets is ``average``.

    Args:
        tables: of protocols.
        papers: what is printed for each of them.
    """
    text = io.StringIO()
    fields = (*FIELDS, *(_OF_TUNING if any(table.protocol == TUNING for table in tables) else ()))
    writer = csv.DictWriter(text, fields, lineterminator="\n")
    writer.writeheader()
    for number, (table, printed) in enumerate(zip(tables, papers, strict=True), 1):
        facts = {key: getattr(table, key) for key in FIELDS[1:8]}
        for line in _lines(table, printed):
            cells = {"table": number, **facts, **line}
            writer.writerow({key: printable(cell) if isinstance(cell, str) else cell for key, cell in cells.items()})
    return text.getvalue()


def _lines(table: ProtocolTable, papers: Papers) -> Iterator[dict[str, object]]:
    for row in table.rows:
        of_row = {"method": row.method, "row": row.label}
        for place in (*product(table.datasets, table.columns), *((None, column) for column in _overall(table))):
            if place in row.numbers:
                printed = papers.beside.get((row.label, place))
                setting = {"setting": _setting(row, place)}
                yield {**of_row, **setting, **_place(table, place, row), **_numbers(row.numbers[place], printed)}
    for paper in papers.others:
        of_row = {"method": paper.method, "row": paper.label, "setting": paper.setting}
        for place, value in paper.numbers.items():
            if place[0] is None or place[0] in table.datasets:
                yield {
                    **of_row,
                    **_place(table, place),
                    "published": round(value, 3),
                    "differs": "" if paper.compares else "not comparable",
                }


def _overall(table: ProtocolTable) -> Iterator[str]:
    """Columns of numbers over sets."""
    yield from table.columns
    if table.protocol == TUNING:
        yield from (PARAMS, TUNED, *(column for group in groups_of(table) for column in (group, wins_of(group))))


def _setting(row: MethodRow, place: Place) -> str:
    """Of a number: some columns may be transductive while the row is not."""
    dataset, column = place
    here = [one for one in row.records if dataset in (None, one["dataset"]) and column == column_of(one)]
    return setting_of(here) if here else row.setting


def _place(table: ProtocolTable, place: Place, row: MethodRow | None = None) -> dict[str, object]:
    """What a number is of; shots of a row where they are no columns, and share of labels in percent."""
    dataset, column = place
    found: dict[str, object] = {"dataset": dataset or SETS_AVERAGE}
    if table.protocol in BY_SHOTS:
        return found | {"shots": column, "metric": measure_of(table.protocol)}
    if row is not None:
        found["shots"] = row.records[0]["shots"]
    if table.protocol == TUNING:
        return found | _of_tuning(table, dataset, column, row)
    if table.protocol == "partial-label":
        return found | {"known": column, "metric": measure_of(table.protocol)}
    return found | {"metric": column}


def _of_tuning(table: ProtocolTable, dataset: str | None, column: str, row: MethodRow | None) -> dict[str, object]:
    """Groups and sizes as what they are; of a set, also the settings that were chosen for it."""
    group = column.partition(" ")[0]
    if group in GROUPS:
        metric = "wins" if column == wins_of(group) else ACCURACY
        return {"dataset": group, "metric": metric, "share": _share(whole(table.measured))}
    if column in (PARAMS, TUNED):
        return {"metric": column}
    here = [one for one in row.records if dataset == one["dataset"] and column == column_of(one)] if row else []
    found = dict.fromkeys(" ".join(f"{key}={value}" for key, value in sorted(chosen(one).items())) for one in here)
    return {"metric": ACCURACY, "share": _share(column), "chosen": "; ".join(found)}


def _share(column: str) -> str:
    return "100" if column == ACCURACY else column


def _numbers(number: Number, printed: float | None) -> dict[str, object]:
    found: dict[str, object] = {
        "mean": _decimals(number.mean),
        "std": _decimals(number.std),
        "n_runs": number.n_runs,
        "differs": "",
    }
    if printed is not None:
        found["published"] = round(printed, 3)  # as printed, unless it is an average that no paper prints
        found["differs"] = "" if number.std is None else "yes" if differs(number, printed) else "no"
    return found


def _decimals(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
