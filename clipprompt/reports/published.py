"""Numbers that papers print, to stand beside our own."""

from __future__ import annotations

import csv
from dataclasses import dataclass

from clipprompt.errors import UserError, nearest
from clipprompt.resources import resource

_NAMES = ("method", "branch", "name")


@dataclass(frozen=True)
class Published:
    """One printed number.

    Attributes:
        name: the row's name in the paper.
        percent: mAP in percent.
    """

    name: str
    percent: float


def load_published(dataset: str) -> dict[tuple[str, str], Published]:
    """Table 1 of the TaI-DPT paper (arXiv 2211.12739) for one data set, by our (method, branch).

    Args:
        dataset: voc2007, coco2014 or nuswide.

    Raises:
        UserError: for another data set.
    """
    with resource("configs/published/tai_dpt_table1.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    datasets = [column for column in rows[0] if column not in _NAMES]
    if dataset not in datasets:
        hint = nearest(dataset, datasets)
        raise UserError(f"no published numbers for {dataset!r}{hint}; there are some for {', '.join(datasets)}")
    return {(row["method"], row["branch"]): Published(row["name"], float(row[dataset])) for row in rows}
