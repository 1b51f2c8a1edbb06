"""The official archives of the named sets, as torchvision's own dataset classes fetch and unpack them.

They bring pictures and annotations, not CoOp's split files. What they leave differs from CoOp's folders in names alone
(``oxford-iiit-pet`` for ``oxford_pets``, ``dtd/dtd`` for ``dtd``), which ``_place.py`` sees to.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import socket
import tarfile
import threading
import urllib.error
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clipprompt.datasets._fetch import Advance
from clipprompt.datasets.classification.specifications import Specification
from clipprompt.errors import UserError
from clipprompt.files import write_json

_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
_UNCHECKED = ("fgvc_aircraft",)
"""Sets of which torchvision knows no checksum, so that half an archive looks like a whole one."""
_LACKS = {"sun397": ("Training_01.txt", "Testing_01.txt")}
"""Lists that the set needs and torchvision does not fetch."""
_TIMEOUT = 60.0
_INSTEAD = "leave out --from torchvision"
_BROKEN = (
    *(OSError, EOFError, http.client.HTTPException, tarfile.TarError, zipfile.BadZipFile, zlib.error),
    *(RuntimeError, ValueError),  # a wrong checksum; an address that is known to be dead
)


def fetch_official(specification: Specification, workshop: Path, advance: Advance) -> Path:
    """Fetches and unpacks a set's official archives; only what came whole and checked is used again after a break.

    Args:
        specification: of the set.
        workshop: the folder to work in.
        advance: is told how many bytes lie there.

    Returns:
        The folder that holds the set, a little below.

    Raises:
        UserError: in one line: an address that is gone, no network, other bytes than expected, a full disk.
    """
    folder = workshop / f"torchvision-{specification.name}"
    _sweep(folder, keep_archives=specification.name not in _UNCHECKED)
    try:
        with _watched(folder, advance), _quiet():
            fetched = _kind(specification)(folder, download=True)
    except _BROKEN as error:
        if isinstance(error, urllib.error.HTTPError):  # it holds the connection
            error.close()
        said = str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error) or type(error).__name__
        what = f"torchvision cannot fetch {specification.title}: {said.splitlines()[0].rstrip('.')}"
        raise UserError(f"{what}; {_INSTEAD}, or run this again") from error
    _sweep_archives(folder)
    if specification.name == "flowers102":  # the names of the flowers, which CoOp's users fetch beside the pictures
        names = {str(number): name for number, name in enumerate(fetched.classes, 1)}
        write_json(folder / "flowers-102" / "cat_to_name.json", names)
    return folder


def check_fetchable(specification: Specification, home: Path) -> None:
    """Refuses at once what would fail after hours.

    Args:
        specification: of the set.
        home: the set's own folder, where lists may lie that are not fetched.

    Raises:
        UserError: if torchvision does not fetch the set, or not all that it needs.
    """
    if not specification.torchvision:
        raise UserError(f"torchvision does not fetch {specification.title}; {_INSTEAD}")
    lists = _LACKS.get(specification.name, ())
    if lists and not (home / specification.split_file).exists() and not all((home / name).exists() for name in lists):
        raise UserError(
            f"torchvision fetches no lists of {specification.title}: put {specification.split_file}, or "
            f"{' and '.join(lists)}, into {home} first, or {_INSTEAD}"
        )


def _kind(specification: Specification) -> Any:
    from torchvision import datasets

    return getattr(datasets, specification.torchvision)


def _sweep(folder: Path, keep_archives: bool) -> None:
    """Removes what a killed run has unpacked, since torchvision takes any folder of the right name for whole."""
    if not keep_archives:
        shutil.rmtree(folder, ignore_errors=True)
    for place, _, files in os.walk(folder, topdown=False):
        for name in files:
            if not name.endswith(_ARCHIVES):
                Path(place, name).unlink()
        with contextlib.suppress(OSError):  # it holds an archive
            Path(place).rmdir()
    folder.mkdir(parents=True, exist_ok=True)


def _sweep_archives(folder: Path) -> None:
    for path in [*folder.rglob("*")]:
        if path.name.endswith(_ARCHIVES) and path.is_file():
            path.unlink()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps torchvision's own bar from ours, and ends a connection that says nothing, which it would wait for."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT)
    try:
        with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stderr(nowhere):
            yield
    finally:
        socket.setdefaulttimeout(before)


@contextlib.contextmanager
def _watched(folder: Path, advance: Advance, every: float = 0.5) -> Iterator[None]:
    """Tells twice a second how large the archives are that lie in ``folder``."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(every):
            with contextlib.suppress(OSError):  # what was unpacked is deleted meanwhile
                advance(sum(path.stat().st_size for path in _archives(folder)), None)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _archives(folder: Path) -> Iterator[Path]:
    """Archives at most one folder down, where torchvision puts them."""
    for pattern in ("*", "*/*"):
        yield from (path for path in folder.glob(pattern) if path.name.endswith(_ARCHIVES) and path.is_file())
