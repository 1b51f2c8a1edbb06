"""Fetches a named set: only what is missing, checked by MD5, never half unpacked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath

from clipprompt.datasets._checks import MissingPicturesError
from clipprompt.datasets._extract import extract
from clipprompt.datasets._fetch import fetch, has_digest
from clipprompt.datasets._workshop import workshop
from clipprompt.datasets.images import MultiLabelImages
from clipprompt.datasets.select import load_dataset, parse_named
from clipprompt.datasets.specifications import Archive
from clipprompt.datasets.voc import find_voc
from clipprompt.errors import UserError

Report = Callable[[str, int, "int | None"], None]
"""Is told what is being done, and how many bytes of how many are there."""


def download_dataset(
    spec: str, root: str | Path, *, mirror: str | None = None, keep_archives: bool = False, report: Report | None = None
) -> MultiLabelImages:
    """Makes a split of a named set whole; nothing is fetched when it is.

    Args:
        spec: a named set with an optional split, such as ``voc2007:test``.
        root: the folder that will hold it; made when it is not there.
        mirror: an address that has the archives under their own names, in place of the official one.
        keep_archives: leaves the archives beside what was unpacked from them.
        report: is told of the progress.

    Returns:
        The set, read from its files.

    Raises:
        UserError: if the set cannot be fetched, or from fetching and unpacking.
    """
    specification, split = parse_named(spec)
    if specification.by_hand:
        raise UserError(specification.by_hand)
    if mirror is not None and not mirror.startswith(("http://", "https://")):
        raise UserError(f"--mirror {mirror} is not an address; it begins with http:// or https://")
    archives = [archive for archive in specification.archives if split in archive.splits]
    folder = _home(specification.name, Path(root))
    with workshop(folder, [_name(_address(archive)[0]) for archive in archives]) as inside:
        while True:
            try:
                return load_dataset(f"{specification.name}:{split}", root=root)
            except UserError as error:
                lack = "pictures" if isinstance(error, MissingPicturesError) else "labels"
                needed = [archive for archive in archives if lack in archive.holds]
                if not needed:  # fetched, and still not whole
                    raise
            for archive in needed:
                _get(archive, folder, inside, mirror, keep_archives, report or (lambda *_: None))
                archives.remove(archive)


def _home(name: str, root: Path) -> Path:
    """The folder to unpack into. VOC's archives hold ``VOCdevkit/VOC2007``, and --root may lie in there."""
    if name != "voc2007":
        return root
    try:
        base = find_voc(root)
    except UserError:
        return root
    if base.resolve().parent.name != "VOCdevkit":
        raise UserError(f"{base} is not in a folder VOCdevkit, as the archive has it; give another --root")
    return base.resolve().parent.parent


def _get(archive: Archive, folder: Path, inside: Path, mirror: str | None, keep: bool, report: Report) -> None:
    url, md5 = _address(archive)
    name = _name(url)
    given = folder / name
    if given.exists():  # brought by the user, to whom it belongs
        if not has_digest(given, md5):
            raise UserError(f"{given} is not the official archive: its MD5 is not {md5}; move it away")
        report(f"Unpacking {name}", 0, None)
        extract(given, folder, inside)
        return
    if mirror is not None:
        url = f"{mirror.rstrip('/')}/{name}"
    target = inside / name
    fetch(url, target, md5, lambda done, total: report(f"Fetching {name}", done, total))
    report(f"Unpacking {name}", 0, None)
    extract(target, folder, inside)
    if keep:
        target.replace(given)


def _name(url: str) -> str:
    return PurePosixPath(url).name


def _address(archive: Archive) -> tuple[str, str]:
    if not archive.torchvision_key:
        return archive.url, archive.md5
    from torchvision.datasets.voc import DATASET_YEAR_DICT

    entry = DATASET_YEAR_DICT[archive.torchvision_key]
    return entry["url"], entry["md5"]
