"""Unpacks an archive so that a kill at any moment leaves nothing that looks whole and is not."""

from __future__ import annotations

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from clipprompt.datasets._fetch import check_room
from clipprompt.errors import UserError
from clipprompt.printable import printable

LeaveOut = Callable[[str], bool]
"""Says of a file's name in an archive whether it stays there."""

_LISTS = "ImageSets"
# The last is for a password and for a compression that is not known.
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError)


def extract(archive: Path, folder: Path, workshop: Path) -> None:
    """Unpacks ``archive`` (tar or zip) into ``folder``.

    The archive is unpacked in ``workshop``, a folder on the same disk, and then moved: what is not yet in its place
    moves as a whole, what joins a folder that is there moves file by file, pictures and labels before the lists that
    name them.

    Raises:
        UserError: if the archive is broken, leads out of ``folder``, or the disk is full; nothing is moved then.
    """
    with unpacked(archive, workshop) as (beside, _):
        move(beside, folder, last=lambda name: name == _LISTS)


@contextmanager
def unpacked(archive: Path, workshop: Path, leave_out: LeaveOut | None = None) -> Iterator[tuple[Path, list[str]]]:
    """Unpacks ``archive`` in a folder that is removed at the end of the block.

    Args:
        archive: tar or zip; it holds files and folders alone, no links.
        workshop: the folder to unpack in.
        leave_out: which files are not unpacked.

    Yields:
        The folder, and the names of what was left out.

    Raises:
        UserError: if the archive is broken or leads out of the folder, or the disk is full, also inside the block.
    """
    beside = workshop / f"{archive.name}.unpacking"
    shutil.rmtree(beside, ignore_errors=True)
    unpack = _unpack_zip if archive.suffix == ".zip" else _unpack_tar
    try:
        left_out = unpack(archive, beside, leave_out or (lambda _: False))
        beside.mkdir(exist_ok=True)
        yield beside, left_out
    except _BROKEN as error:
        raise UserError(f"cannot unpack {archive}: {getattr(error, 'strerror', None) or error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def move(source: Path, target: Path, last: Callable[[str], bool]) -> None:
    """Moves what is in ``source`` into ``target``: whole folders where they are new, or file by file.

    Args:
        source: a folder on the same disk.
        target: a folder, or none yet.
        last: the names of files and folders that go after all beside them.
    """
    if not target.exists():
        source.replace(target)
        return
    for entry in sorted(source.iterdir(), key=lambda entry: (last(entry.name), entry.name)):
        place = target / entry.name
        if entry.is_dir() and place.is_dir():
            move(entry, place, last)
        else:
            entry.replace(place)


def _unpack_zip(archive: Path, beside: Path, leave_out: LeaveOut) -> list[str]:
    with zipfile.ZipFile(archive) as zipped:
        members = zipped.infolist()
        for member in members:
            _check_member(archive, member.filename, is_plain=not stat.S_ISLNK(member.external_attr >> 16))
        kept = [member for member in members if not leave_out(member.filename)]
        check_room(beside.parent, sum(member.file_size for member in kept))
        zipped.extractall(beside, kept)
    return [member.filename for member in members if leave_out(member.filename)]


def _unpack_tar(archive: Path, beside: Path, leave_out: LeaveOut) -> list[str]:
    filters: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(archive) as tar:
        members = tar.getmembers()
        for member in members:
            _check_member(archive, member.name, is_plain=member.isfile() or member.isdir())
        kept = [member for member in members if not leave_out(member.name)]
        check_room(beside.parent, sum(member.size for member in kept))
        tar.extractall(beside, kept, **filters)
    return [member.name for member in members if leave_out(member.name)]


def _check_member(archive: Path, name: str, is_plain: bool) -> None:
    shown = printable(name)
    if not is_plain:
        raise UserError(f"{archive}: {shown!r} is a link or a device; nothing was unpacked")
    parts = PureWindowsPath(name)  # splits at both kinds of slashes, knows drives
    if ".." in parts.parts or parts.anchor or PurePosixPath(name).is_absolute():
        raise UserError(f"{archive}: {shown!r} would be written outside its folder; nothing was unpacked")
