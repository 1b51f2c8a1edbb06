"""COCO-format instance files (COCO 2014, 2017, and any file of the same format) as a multi-label set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from clipprompt.datasets._checks import MissingPicturesError, check_folder, first_repeated, read_utf8
from clipprompt.datasets._missing import settle_missing
from clipprompt.datasets.images import MultiLabelImages
from clipprompt.errors import UserError
from clipprompt.printable import printable


def load_coco(
    instances: str | Path,
    images: str | Path | None = None,
    *,
    keep_empty: bool = True,
    skip_missing: bool = False,
    name: str | None = None,
) -> MultiLabelImages:
    """Reads ``instances_*.json`` and its image folder.

    The classes are those of the file, in the order of their category ids: for COCO the 80 official names. A class is
    present when an image has at least one annotation of it; crowd annotations (``iscrowd``) count, since the objects
    are there. No label is unknown. Images come in the order of the file.

    Args:
        instances: the JSON file.
        images: the folder of the pictures. By default that of the official layout: ``val2014`` or ``images/val2014``
            beside ``annotations/instances_val2014.json``.
        keep_empty: whether images without any annotation stay, as images where all classes are absent. Some
            published evaluations leave them out (40,137 of the 40,504 images of val2014 remain).
        skip_missing: leaves out images whose picture is missing, and notes how many.
        name: what reports call the set; by default the file's name without its ending.

    Raises:
        UserError: if something is missing or broken; the file and the entry are named.
    """
    path = Path(instances)
    content = _read(path)
    folder = Path(images) if images is not None else _official_folder(path)
    check_folder(folder, images)
    categories = sorted(_table(content, path, "categories", id=int, name=str), key=lambda entry: entry["id"])
    records = _table(content, path, "images", id=int, file_name=str)
    _check_unique(path, "category id", [entry["id"] for entry in categories])
    _check_unique(path, "image id", [entry["id"] for entry in records])
    _check_unique(path, "file name", [entry["file_name"] for entry in records])
    targets = _targets(_table(content, path, "annotations", image_id=int, category_id=int), records, categories, path)
    dataset = MultiLabelImages(
        name=name or printable(path.stem),
        items=[folder / entry["file_name"] for entry in records],
        classnames=tuple(entry["name"] for entry in categories),
        targets=targets,
        ids=tuple(entry["file_name"] for entry in records),
    )
    found = settle_missing(dataset, path, lambda index: f"image {records[index]['id']}", skip_missing)
    return found if keep_empty else found.without_empty()


def _read(path: Path) -> dict[str, Any]:
    text = read_utf8(path)
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {error.lineno}: broken JSON ({error.msg}); was it copied whole?") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets in thousands
        raise UserError(f"{path} is not a COCO file: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is not a COCO file: it holds a {type(content).__name__}, not an object with 'images'")
    return content


def official_folders(instances: Path) -> tuple[Path, Path]:
    """Where the official layout has the pictures of an instances file: either of the two."""
    split = instances.stem.removeprefix("instances_")
    base = instances.parent.parent
    return base / split, base / "images" / split


def _official_folder(path: Path) -> Path:
    folders = official_folders(path)
    for folder in folders:
        if folder.is_dir():
            return folder
    raise MissingPicturesError(
        f"no image folder {folders[0]} beside {path.parent}; do its pictures lie elsewhere (--images FOLDER)?"
    )


def _table(content: dict[str, Any], path: Path, key: str, **fields: type) -> list[dict[str, Any]]:
    """The list under ``key``, every entry checked to have ``fields`` of the right type."""
    table = content.get(key)
    if not isinstance(table, list):
        hint = "; a file of captions has no labels, use instances_*.json" if key == "categories" else ""
        raise UserError(f"{path} is not a COCO instances file: it has no list {key!r}{hint}")
    for index, entry in enumerate(table):
        for field, kind in fields.items():
            value = entry.get(field) if isinstance(entry, dict) else None
            # bool is an int to isinstance, but never an id.
            if not isinstance(value, kind) or isinstance(value, bool):
                raise UserError(f"{path}, {key}[{index}]: {field!r} is {value!r}, not a {kind.__name__}")
    return table


def _check_unique(path: Path, what: str, values: list[Any]) -> None:
    if (twice := first_repeated(values)) is not None:
        raise UserError(f"{path}: {what} {twice!r} is there twice")


def _targets(
    annotations: list[dict[str, Any]], records: list[dict[str, Any]], categories: list[dict[str, Any]], path: Path
) -> np.ndarray[Any, np.dtype[np.int8]]:
    row = {entry["id"]: index for index, entry in enumerate(records)}
    column = {entry["id"]: index for index, entry in enumerate(categories)}
    targets = np.zeros((len(records), len(categories)), dtype=np.int8)
    for index, entry in enumerate(annotations):
        for field, known in (("image_id", row), ("category_id", column)):
            if entry[field] not in known:
                raise UserError(f"{path}, annotations[{index}]: {field} {entry[field]} is not defined in the file")
        targets[row[entry["image_id"]], column[entry["category_id"]]] = 1
    return targets
