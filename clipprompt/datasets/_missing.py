"""Pictures that a set lists and the disk has not: an error that names the first, or left out and counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from clipprompt.datasets._checks import MissingPicturesError
from clipprompt.datasets.images import MultiLabelImages
from clipprompt.printable import printable


def settle_missing(
    dataset: MultiLabelImages, where: str | Path, entry: Callable[[int], str], skip_missing: bool
) -> MultiLabelImages:
    """Checks that every picture of a set is a file.

    Args:
        dataset: a set whose items are paths.
        where: the file, or the set, that lists them.
        entry: what to call the entry at an index in the message, such as ``line 7`` or ``train``.
        skip_missing: leaves missing pictures out and notes how many, in place of an error.

    Raises:
        MissingPicturesError: naming the first missing picture, and how many there are; or when all are missing.
    """
    missing = [index for index, path in enumerate(dataset.items) if not _is_file(path)]
    if not missing:
        return dataset
    first = f"{where}, {entry(missing[0])}: image {printable(dataset.items[missing[0]])} does not exist"
    if len(missing) == len(dataset):
        raise MissingPicturesError(
            f"{first}, nor does any other ({len(missing):,} are missing); is --images the right folder?"
        )
    if not skip_missing:
        more = f" ({len(missing):,} are missing in all)" if len(missing) > 1 else ""
        raise MissingPicturesError(f"{first}{more}; --skip-missing leaves missing images out")
    absent = set(missing)
    kept = [index for index in range(len(dataset)) if index not in absent]
    name = printable(dataset.ids[missing[0]])
    note = f"{len(missing):,} of {len(dataset):,} images are missing and left out; the first is {name}"
    return dataset.subset(kept).with_notes(note, missing_images=str(len(missing)))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # such as a name that is too long
        return False
