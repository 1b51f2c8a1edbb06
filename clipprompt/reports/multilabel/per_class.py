"""Average precision of every class as CSV: a line per class, a column per row of the table."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clipprompt.errors import UserError
from clipprompt.files import write_text
from clipprompt.printable import printable
from clipprompt.reports.multilabel.summary import summarise


def write_per_class(records: Sequence[Mapping[str, Any]], path: str | Path) -> None:
    """Writes ``class,n_positive`` and then the AP in percent of each row; empty where a class has no positive.

    Args:
        records: multi-label records of one set and one class list; the runs of a row are averaged.
        path: of the file.

    Raises:
        UserError: if the class lists differ, or the file cannot be written.
    """
    if len({record["class_hash"] for record in records}) != 1:
        raise UserError("a table of per-class AP needs records with one class list")
    rows = summarise(records)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["class", "n_positive", *(row.name for row in rows)])
    counts = records[0]["n_positive"]
    for index, name in enumerate(records[0]["classnames"]):
        values = [row.average_precision[index] for row in rows]
        cells = ["" if value is None else f"{value:.3f}" for value in values]
        writer.writerow([printable(name), counts[index], *cells])
    write_text(path, text.getvalue())
