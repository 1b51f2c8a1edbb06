"""Fetches a named set with one class to each picture, and puts it where CoOp's users have it.

    hub          one archive of the Hugging Face Hub's repository, with CoOp's split file
    torchvision  the official archives, as far as torchvision still fetches them; no split file

Either is unpacked beside and moved, so that a kill leaves nothing that looks whole and is not.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from clipprompt.datasets._extract import unpacked
from clipprompt.datasets._workshop import workshop
from clipprompt.datasets.classification._place import holds, home_of, is_pickle, others_in_archive, place, stays_packed
from clipprompt.datasets.classification.check import Findings, check_set
from clipprompt.datasets.classification.specifications import SHOWN, SPECIFICATIONS, Specification
from clipprompt.errors import UserError, advise, nearest
from clipprompt.files import replace_file
from clipprompt.mini.styles import STYLES

if TYPE_CHECKING:
    from clipprompt.datasets.classification._hub import HubArchive

SOURCES = ("hub", "torchvision")

Report = Callable[[str, int, "int | None"], None]
"""Is told what is being done, and how many bytes of how many are there."""


def download_classification(
    name: str,
    root: str | Path,
    source: str = "hub",
    *,
    keep_archives: bool = False,
    report: Report | None = None,
) -> Findings:
    """Makes a named set whole; nothing is fetched when it is. Other sets of the same archive are put beside it.

    Args:
        name: of the set.
        root: the folder that will hold the set's own; made when it is not there.
        source: hub or torchvision.
        keep_archives: leaves the Hub's archive beside the set's folder.
        report: is told of the progress.

    Returns:
        What is there now, whole.

    Raises:
        UserError: if the set cannot be fetched, or is not whole when it was.
    """
    specification = _specification(name)
    if source not in SOURCES:
        raise UserError(f"--from {source!r} is none of {', '.join(SOURCES)}{nearest(source, SOURCES)}")
    if specification.by_hand:
        raise UserError(f"{specification.title} cannot be fetched for you: {specification.by_hand}")
    home = home_of(specification, Path(root))
    if specification.split_file and (home / specification.split_file).is_dir():  # before hours of fetching
        raise UserError(f"{home / specification.split_file} is a folder where a file belongs; remove it")
    tell = report or (lambda *_: None)
    with workshop(home.parent, [specification.archive]) as inside:
        found = check_set(specification.name, root)
        if _needs_nothing(found, specification, source):
            return found
        if source == "hub":
            notes = _from_hub(specification, home, inside, keep_archives, tell, has_pictures=found.is_whole)
        else:
            notes = _from_torchvision(specification, home, inside, tell)
        found = check_set(specification.name, root)
    if not found.is_whole:
        raise _fetched_in_vain(found, specification, root, source)
    return replace(found, notes=(*found.notes, *notes))


def _specification(name: str) -> Specification:
    if name.lower() in STYLES:
        raise UserError(f"{name} is drawn, so there is nothing to fetch; use it as it is, without --root")
    if name.lower() not in SPECIFICATIONS:
        raise UserError(f"there is no set {name!r}{nearest(name.lower(), SPECIFICATIONS)}; choose one of {SHOWN}")
    return SPECIFICATIONS[name.lower()]


def _fetched_in_vain(found: Findings, specification: Specification, root: str | Path, source: str) -> UserError:
    said = found.explain().removesuffix(specification.next_step(str(root))).removesuffix("; ").removesuffix(" or ")
    instead = {"hub": "--from torchvision", "torchvision": "--from hub"}[source]
    error = UserError(f"fetched, but not whole: {said}")
    return advise(error, f"try {instead}") if specification.torchvision else error


def _needs_nothing(found: Findings, specification: Specification, source: str) -> bool:
    """Whether a set is whole, and has CoOp's split file if that is to be had."""
    if found.dataset is None or not found.is_whole:
        return False
    return source != "hub" or not specification.split_file or found.dataset.source_sha256 is not None


def _from_hub(
    specification: Specification, home: Path, inside: Path, keep_archives: bool, tell: Report, *, has_pictures: bool
) -> tuple[str, ...]:
    from clipprompt.datasets.classification._hub import fetch_archive, find_archive

    archive = find_archive(specification)
    if has_pictures and _get_split_file(archive, specification, home, tell):
        return (f"the pictures were there, so {specification.split_file} alone was fetched",)
    path = fetch_archive(archive, inside, lambda done, total: tell(f"Fetching {archive.name}", done, total))
    tell(f"Unpacking {archive.name}", 0, None)
    with unpacked(path, inside, leave_out=stays_packed) as (beside, left_out):
        place(beside, specification, home)
        for other, folder in others_in_archive(specification, home):
            if holds(beside, other):
                place(beside, other, folder)
    if keep_archives:
        path.replace(home.parent / archive.name)
    else:
        path.unlink()
    n_pickles = sum(is_pickle(name) for name in left_out)
    return (f"{n_pickles:,} pickles of {archive.name} were not unpacked",) if n_pickles else ()


def _get_split_file(archive: HubArchive, specification: Specification, home: Path, tell: Report) -> bool:
    """Gets the split file alone out of the archive; whether the set is whole with it."""
    from clipprompt.datasets.classification._hub import read_from_archive

    tell(f"Fetching {specification.split_file} of {archive.name}", 0, None)
    content = read_from_archive(archive, specification.split_file)
    if content is None:
        return False
    with replace_file(home / specification.split_file) as part:
        part.write_bytes(content)
    return check_set(specification.name, home).is_whole


def _from_torchvision(specification: Specification, home: Path, inside: Path, tell: Report) -> tuple[str, ...]:
    from clipprompt.datasets.classification._torchvision import check_fetchable, fetch_official

    check_fetchable(specification, home)
    what = f"Fetching {specification.title} with torchvision"
    tell(what, 0, None)
    folder = fetch_official(specification, inside, lambda done, total: tell(what, done, total))
    place(folder, specification, home)
    shutil.rmtree(folder, ignore_errors=True)
    return ()
