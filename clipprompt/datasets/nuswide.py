"""NUS-WIDE in its official text lists, as a multi-label set (Chua et al., CIVR 2009)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from clipprompt.datasets._checks import check_folder, first_repeated, plain_name, read_utf8
from clipprompt.datasets._missing import settle_missing
from clipprompt.datasets.images import PRESENT, UNKNOWN, MultiLabelImages
from clipprompt.datasets.specifications import official_classes
from clipprompt.errors import UserError

# The list of a split, and where and how its label files are named.
LISTS = {
    "train": ("TrainImagelist.txt", "TrainTestLabels", "Labels_{}_Train.txt"),
    "test": ("TestImagelist.txt", "TrainTestLabels", "Labels_{}_Test.txt"),
    "all": ("Imagelist.txt", "AllLabels", "Labels_{}.txt"),
}
FOLDERS = ("Flickr", "images")

# The official files have this one slip; the label is then unknown.
_KNOWN_SLIP = ("Labels_lake_Train.txt", 78372, b"-1130179")


def load_nuswide(
    root: str | Path, split: str = "test", images: str | Path | None = None, *, skip_missing: bool = False
) -> MultiLabelImages:
    """Reads the image list and the 81 label files of a split.

    Several splits of other sizes go by the same name in papers, so the result's notes say which list was read, and how
    many of its images are listed, have a label, and are on disk.

    Args:
        root: the folder that holds ``ImageList`` and ``Groundtruth``, or the one above called ``NUS-WIDE``.
        split: train, test or all.
        images: the folder of the pictures; ``Flickr`` or ``images`` below ``root`` by default.
        skip_missing: leaves out images whose picture is missing, and notes how many.

    Raises:
        UserError: if something is missing or broken; the file and the line are named.
    """
    base = find_nuswide(Path(root))
    list_name, label_folder, pattern = LISTS[split]
    listing = base / "ImageList" / list_name
    ids = _read_ids(listing)
    classes = official_classes("nuswide")
    _check_concepts(base / "ConceptsList" / "Concepts81.txt", classes)
    labels = base / "Groundtruth" / label_folder
    columns = [_read_labels(labels / pattern.format(name), len(ids), listing) for name in classes]
    folder = Path(images) if images is not None else _pictures(base)
    check_folder(folder, images)
    dataset = MultiLabelImages(
        name=f"nuswide:{split}",
        items=[folder / image for image in ids],
        classnames=classes,
        targets=np.stack(columns, axis=1),
        ids=tuple(ids),
        options={"split": split, "list": list_name},
    )
    found = settle_missing(dataset, listing, lambda index: f"line {index + 1}", skip_missing)
    return _say_which(dataset, found, split, list_name)


def find_nuswide(root: Path) -> Path:
    """The folder of NUS-WIDE at or below ``root``.

    Raises:
        UserError: if there is none.
    """
    for folder in (root, root / "NUS-WIDE"):
        if (folder / "ImageList").is_dir() or (folder / "Groundtruth").is_dir():
            return folder
    what = "there is no ImageList and no Groundtruth in it" if root.is_dir() else "it is not a folder"
    raise UserError(f"no NUS-WIDE at --root {root}: {what}")


def _pictures(base: Path) -> Path:
    for name in FOLDERS:
        if (base / name).is_dir():
            return base / name
    raise UserError(f"no pictures in {base}: there is neither {' nor '.join(FOLDERS)}; name their folder with --images")


def _read_ids(listing: Path) -> list[str]:
    lines = read_utf8(listing).rstrip().split("\n")
    paths = [PureWindowsPath(line.strip()) for line in lines]  # the lists have backslashes
    for number, path in enumerate(paths, 1):
        if not path.parts:
            raise UserError(f"{listing}, line {number}: empty; every line names one image")
        if path.anchor or ".." in path.parts:
            raise UserError(f"{listing}, line {number}: {str(path)!r} leads out of the folder of the pictures")
    ids = [path.as_posix() for path in paths]
    if (twice := first_repeated(ids)) is not None:
        raise UserError(f"{listing}: image {twice} is listed twice")
    return ids


def _check_concepts(path: Path, classes: Sequence[str]) -> None:
    """The list of concepts says nothing that the label files do not; where it lies there, it must agree."""
    if not path.exists():
        return
    names = {plain_name(line) for line in read_utf8(path).splitlines() if line.strip()}
    if odd := sorted(names ^ {plain_name(name) for name in classes}):
        raise UserError(f"{path}: concept {odd[0]!r} is not in both this file and the 81 official ones")


def _read_labels(path: Path, n_images: int, listing: Path) -> np.ndarray[Any, np.dtype[np.int8]]:
    try:
        cells = path.read_bytes().split()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    if len(cells) != n_images:
        raise UserError(f"{path} has {len(cells):,} labels where {listing.name} lists {n_images:,} images")
    joined = b"".join(cells)
    if len(joined) == n_images and not joined.translate(None, b"01"):
        return (np.frombuffer(joined, dtype=np.uint8) - ord("0")).astype(np.int8)
    return np.array([_value(path, number, cell) for number, cell in enumerate(cells, 1)], dtype=np.int8)


def _value(path: Path, number: int, cell: bytes) -> int:
    if cell in (b"0", b"1"):
        return int(cell)
    if (path.name, number, cell) == _KNOWN_SLIP:
        return UNKNOWN
    raise UserError(f"{path}, line {number}: label {cell.decode(errors='replace')!r} is not 0 or 1")


def _say_which(listed: MultiLabelImages, found: MultiLabelImages, split: str, list_name: str) -> MultiLabelImages:
    n_labelled = int((listed.targets == PRESENT).any(axis=1).sum())
    counts = f"{len(listed):,} images listed, {n_labelled:,} of them with a label, {len(found):,} on disk"
    return found.with_notes(
        f"NUS-WIDE split {split!r} of {list_name}: {counts}",
        n_listed=str(len(listed)),
        n_labelled=str(n_labelled),
        n_on_disk=str(len(found)),
    )
