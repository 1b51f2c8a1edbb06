"""PASCAL VOC 2007 in its official layout, as a multi-label set."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clipprompt.datasets._checks import check_folder, first_repeated, read_utf8
from clipprompt.datasets._missing import settle_missing
from clipprompt.datasets._voc_xml import read_objects
from clipprompt.datasets.images import ABSENT, PRESENT, UNKNOWN, MultiLabelImages
from clipprompt.datasets.specifications import official_classes
from clipprompt.errors import UserError

DIFFICULT = {"unknown": UNKNOWN, "negative": ABSENT}
"""What an image's label of a class is when all of its objects are difficult."""

_ID = re.compile(r"\w[\w.-]*")


def load_voc2007(
    root: str | Path,
    split: str = "test",
    images: str | Path | None = None,
    *,
    difficult: str = "unknown",
    skip_missing: bool = False,
) -> MultiLabelImages:
    """Reads the XML annotations of a split.

    A class is present when at least one of its objects is not difficult. Where all are difficult, the official
    evaluation counts the image neither as a hit nor as a miss (Everingham et al., IJCV 2010, section 4.1).

    Args:
        root: the folder above ``VOCdevkit``, ``VOCdevkit``, or ``VOC2007`` itself.
        split: train, val, trainval or test: a file of ``ImageSets/Main``.
        images: the folder of the pictures; ``JPEGImages`` by default.
        difficult: ``unknown`` as in the official evaluation (-1), or ``negative`` as in the code of TaI-DPT (0).
        skip_missing: leaves out images whose picture is missing, and notes how many.

    Raises:
        UserError: if something is missing or broken; the file and the entry are named.
        KeyError: for another word in ``difficult``.
    """
    base = find_voc(Path(root))
    listing = base / "ImageSets" / "Main" / f"{split}.txt"
    ids = _read_ids(listing)
    folder = Path(images) if images is not None else base / "JPEGImages"
    check_folder(folder, images)
    classes = official_classes("voc2007")
    dataset = MultiLabelImages(
        name=f"voc2007:{split}",
        items=[folder / f"{image}.jpg" for image in ids],
        classnames=classes,
        targets=_targets(base / "Annotations", ids, classes, DIFFICULT[difficult]),
        ids=tuple(ids),
        options={"split": split, "difficult": difficult},
    )
    return settle_missing(dataset, listing, lambda index: f"line {index + 1}", skip_missing)


def find_voc(root: Path) -> Path:
    """The folder ``VOC2007`` at or below ``root``.

    Raises:
        UserError: if there is none.
    """
    for folder in (root, root / "VOC2007", root / "VOCdevkit" / "VOC2007"):
        if (folder / "ImageSets" / "Main").is_dir():
            return folder
    what = "there is no VOCdevkit/VOC2007/ImageSets/Main in it" if root.is_dir() else "it is not a folder"
    raise UserError(f"no VOC2007 at --root {root}: {what}")


def _read_ids(listing: Path) -> list[str]:
    ids = read_utf8(listing).split("\n")
    while ids and not ids[-1].strip():
        ids.pop()
    ids = [line.strip() for line in ids]
    for number, image in enumerate(ids, 1):
        if not _ID.fullmatch(image):  # lists of one class have a second column; a path would lead out of the folder
            raise UserError(f"{listing}, line {number}: {image!r} is not one image id such as 000001")
    if not ids:
        raise UserError(f"{listing} lists no image")
    if (twice := first_repeated(ids)) is not None:
        raise UserError(f"{listing}: image {twice} is listed twice")
    return ids


def _targets(
    annotations: Path, ids: Sequence[str], classes: Sequence[str], difficult: int
) -> np.ndarray[Any, np.dtype[np.int8]]:
    column = {name: index for index, name in enumerate(classes)}
    targets = np.full((len(ids), len(classes)), ABSENT, dtype=np.int8)
    for row, image in enumerate(ids):
        path = annotations / f"{image}.xml"
        for name, all_difficult in read_objects(path).items():
            if name not in column:
                raise UserError(f"{path}: {name!r} is not one of the 20 classes of VOC2007")
            targets[row, column[name]] = difficult if all_difficult else PRESENT
    return targets
