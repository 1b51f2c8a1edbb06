"""Unpacks an archive so that a kill at any moment leaves nothing that looks whole and is not."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from clipprompt.errors import UserError

_LISTS = "ImageSets"


def extract(archive: Path, folder: Path, workshop: Path) -> None:
    """Unpacks ``archive`` (tar or zip) into ``folder``.

    The archive is unpacked in ``workshop``, a folder on the same disk, and then moved: what is not yet in its place
    moves as a whole, what joins a folder that is there moves file by file, pictures and labels before the lists that
    name them.

    Raises:
        UserError: if the archive is broken, leads out of ``folder``, or the disk is full; nothing is moved then.
    """
    from torchvision.datasets.utils import extract_archive

    beside = workshop / f"{archive.name}.unpacking"
    shutil.rmtree(beside, ignore_errors=True)
    try:
        for name in _names(archive):
            if _leads_out(name):
                raise UserError(f"{archive}: {name!r} would be written outside {folder}; nothing was unpacked")
        beside.mkdir()
        extract_archive(archive, beside)
        _move(beside, folder)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise UserError(f"cannot unpack {archive}: {getattr(error, 'strerror', None) or error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _names(archive: Path) -> Iterator[str]:
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as zipped:
            yield from zipped.namelist()
        return
    with tarfile.open(archive) as tar:
        for member in tar:
            if not (member.isfile() or member.isdir()):
                raise UserError(f"{archive}: {member.name!r} is a link or a device; nothing was unpacked")
            yield member.name


def _leads_out(name: str) -> bool:
    parts = PureWindowsPath(name)  # splits at both kinds of slashes, knows drives
    return ".." in parts.parts or bool(parts.anchor) or PurePosixPath(name).is_absolute()


def _move(source: Path, target: Path) -> None:
    for entry in sorted(source.iterdir(), key=lambda entry: (entry.name == _LISTS, entry.name)):
        place = target / entry.name
        if entry.is_dir() and place.is_dir():
            _move(entry, place)
        else:
            entry.replace(place)
