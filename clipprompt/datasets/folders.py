"""A folder of pictures with one sub-folder per class, as torchvision's ``ImageFolder`` has it.

    photos/cat/a.jpg            photos/train/cat/a.jpg
    photos/red_bus/sub/b.png    photos/test/red_bus/b.png

On the right it holds splits, each with the classes below it; ``photos:train`` names one. A sub-folder's name is its
class, and every picture below it, at any depth, is of that class. Hidden files and folders are passed over.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from clipprompt.datasets._image_files import image_endings
from clipprompt.datasets.images import ABSENT, PRESENT, MultiLabelImages
from clipprompt.errors import UserError
from clipprompt.printable import printable

SPLITS = ("train", "val", "valid", "validation", "test")
"""Sub-folders of these names are splits, if they hold folders themselves."""


def load_class_folders(folder: str | Path, split: str = "") -> MultiLabelImages:
    """Reads which picture lies in which class's folder. No picture is opened.

    The classes of a split are those of all splits, in alphabetical order, so that numbers of two splits compare; a
    class without a picture in this split keeps its column.

    Args:
        folder: that holds the classes, or the splits.
        split: which one, where it holds splits.

    Raises:
        UserError: if there is no such folder, split or sub-folder, or a class's folder has no picture.
    """
    base = Path(folder)
    if not base.is_dir():
        what = "is a file, not a folder" if base.exists() else "does not exist"
        raise UserError(f"the image folder {printable(base)} {what}")
    splits = find_splits(base)
    for path in _folders(base):
        if path.name not in SPLITS and path.name.lower() in SPLITS and any(_folders(path)):
            raise UserError(f"{printable(path)} looks like a split, not a class; rename it to {path.name.lower()}")
    place = base / _check_split(base, split, splits) if splits or split else base
    names = sorted({path.name for part in splits or (".",) for path in _folders(base / part)})
    if not names:
        raise UserError(
            f"{printable(place)} holds no sub-folder; give a folder with one sub-folder of pictures per class, "
            "or a table of labels (.csv)"
        )
    files = [(column, path) for column, name in enumerate(names) for path in _pictures(place / name)]
    targets = np.full((len(files), len(names)), ABSENT, dtype=np.int8)
    targets[np.arange(len(files)), [column for column, _ in files]] = PRESENT
    return MultiLabelImages(
        name=f"{printable(base.resolve().name)}{':' if splits else ''}{split}",
        items=[path for _, path in files],
        classnames=tuple(names),
        targets=targets,
        ids=tuple(path.relative_to(place).as_posix() for _, path in files),
        options={"split": split} if splits else {},
    )


def find_splits(folder: Path) -> tuple[str, ...]:
    """The splits that a folder holds; none where its sub-folders are classes."""
    return tuple(name for name in SPLITS if (folder / name).is_dir() and any(_folders(folder / name)))


def _check_split(folder: Path, split: str, splits: tuple[str, ...]) -> str:
    choices = ", ".join(f"{printable(folder)}:{name}" for name in splits)
    if not splits:
        raise UserError(f"{printable(folder)} has no split {split!r}: its sub-folders are classes; leave out :{split}")
    if split not in splits:
        what = f"has no split {split!r}" if split else "holds splits"
        raise UserError(f"{printable(folder)} {what}; choose one of {choices}")
    return split


def _folders(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith((".", "__")):
            yield path


def _pictures(folder: Path) -> list[Path]:
    """All pictures below a class's folder, in order; none where this split has no such class."""
    if not folder.is_dir():
        return []
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__"))]
        found += [Path(place, name) for name in files if _is_picture(name)]
    if not found:
        raise UserError(f"{printable(folder)} holds no picture; put some of this class in, or remove the folder")
    return sorted(found)


def _is_picture(name: str) -> bool:
    return name.lower().endswith(image_endings()) and not name.startswith(".")
