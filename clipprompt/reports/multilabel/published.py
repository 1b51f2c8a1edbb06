"""Numbers that papers print, to stand beside our own."""

from __future__ import annotations

import csv
from dataclasses import dataclass

from clipprompt.errors import UserError, nearest
from clipprompt.resources import resource

_TABLE_1, _OTHERS = "tai_dpt_table1.csv", "without_images.csv"
DATASETS = ("voc2007", "coco2014", "nuswide")


@dataclass(frozen=True)
class Published:
    """One printed number.

    Attributes:
        name: the row's name in the paper.
        percent: mAP in percent.
        backbone: that it was measured with, as papers write it.
    """

    name: str
    percent: float
    backbone: str


def load_published(dataset: str, backbone: str | None = None) -> dict[tuple[str, str], Published]:
    """Table 1 of the TaI-DPT paper (arXiv 2211.12739) for one data set, by our (method, branch).

    Args:
        dataset: voc2007, coco2014 or nuswide.
        backbone: open_clip name; what other papers reach with the same one, and without images, is added. Those are
            methods that are not ours, so no row of ours answers to their keys.

    Raises:
        UserError: for another data set.
    """
    check_published(dataset)
    found = {
        (row["method"], row["branch"]): Published(row["name"], float(row[dataset]), row["backbone"])
        for row in read_published(_TABLE_1)
    }
    for row in read_published(_OTHERS) if backbone is not None else ():
        if row[dataset] and same_backbone(row["backbone"], backbone or ""):
            found[row["name"], ""] = Published(
                f"{row['name']}, {row['backbone']}", float(row[dataset]), row["backbone"]
            )
    return found


def check_published(dataset: str) -> None:
    """Checks the name of a data set.

    Raises:
        UserError: for one without published numbers.
    """
    if dataset not in DATASETS:
        hint = nearest(dataset, DATASETS)
        raise UserError(f"no published numbers for {dataset!r}{hint}; there are some for {', '.join(DATASETS)}")


def read_published(name: str) -> list[dict[str, str]]:
    """The lines of a file of ``configs/published``."""
    with resource(f"configs/published/{name}").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def same_backbone(printed: str, name: str) -> bool:
    """Whether a paper's ``ViT-B/16`` is what open_clip calls ``name``."""
    return printed.replace("/", "-").lower() == name.replace("/", "-").removesuffix("-quickgelu").lower()
