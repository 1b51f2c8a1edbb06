"""Fetches one file over HTTP, goes on where a broken download stopped, and names it only when its checksum is right."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

from clipprompt.errors import UserError

Advance = Callable[[int, "int | None"], None]
"""Is told how many bytes are there, and how many there will be if the server says so."""

_CHUNK = 1 << 20
_TIMEOUT = 30.0
# Answers that pass: too slow, too many, and faults of the server.
_PASSING = {408, 425, 429, 500, 502, 503, 504}


class _BrokenError(Exception):
    """The connection ended early; what has arrived is kept."""


def fetch(
    url: str,
    target: Path,
    digest: str,
    advance: Advance,
    *,
    headers: Mapping[str, str] | None = None,
    otherwise: str = "try another with --mirror",
    attempts: int = 5,
    pause: float = 2.0,
) -> None:
    """Fetches ``url`` into ``target``, by way of ``target`` with ``.part`` at its end.

    Args:
        url: http or https.
        target: the file; its folder exists. One that is there and has the checksum is not fetched again.
        digest: of the whole file, in hex digits: 32 of its MD5 or 64 of its SHA-256.
        advance: is told of the progress.
        headers: for this address alone, not for one that it leads to, such as a token.
        otherwise: what to do where the server refuses, in words.
        attempts: how often in a row the connection may break without one more byte.
        pause: seconds to wait after the first break; longer after each further one.

    Raises:
        UserError: if the server refuses, the connection keeps breaking (the part stays for the next time), the bytes
            are others than expected (the part is deleted), or the disk is full.
    """
    algorithm = "MD5" if len(digest) == 32 else "SHA-256"
    if target.exists():
        if has_digest(target, digest):
            return
        raise UserError(f"{target} is there, but its {algorithm} is not {digest}; move it away and run this again")
    request = urllib.request.Request(url, headers={"User-Agent": "clipprompt"})
    for name, value in (headers or {}).items():
        request.add_unredirected_header(name, value)
    part = target.with_name(target.name + ".part")
    _complete(request, part, advance, otherwise, attempts, pause)
    if not has_digest(part, digest):
        part.unlink(missing_ok=True)
        raise UserError(f"{url} is not the official file: its {algorithm} is not {digest}; what was fetched is deleted")
    part.replace(target)


def has_digest(path: Path, digest: str) -> bool:
    """Whether a file's bytes have this MD5 (32 hex digits) or SHA-256 (64)."""
    found = hashlib.md5(usedforsecurity=False) if len(digest) == 32 else hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest() == digest


def check_room(folder: Path, needed: int, what: str = "to unpack") -> None:
    """Refuses what the disk has no room for.

    Raises:
        UserError: if fewer than ``needed`` bytes are free.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(f"{folder} has {free >> 20:,} MB free; {needed >> 20:,} MB are needed {what}")


def _complete(
    request: urllib.request.Request, part: Path, advance: Advance, otherwise: str, attempts: int, pause: float
) -> None:
    url, failures = request.full_url, 0
    while True:
        before = _size(part)
        try:
            _go_on(request, part, advance)
            return
        except urllib.error.HTTPError as error:
            if error.code == 416:  # nothing is left to send; the checksum says whether it is the right file
                return
            if error.code not in _PASSING:
                raise UserError(f"{url}: the server says {error.code} {error.reason}; {otherwise}") from error
            reason: object = f"{error.code} {error.reason}"
        except (_BrokenError, urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        failures = 1 if _size(part) > before else failures + 1
        if failures >= attempts:
            raise UserError(
                f"{url}: {reason}, {failures} times in a row; {_size(part) >> 20} MB are kept, run this again to go on"
            )
        time.sleep(pause * failures)


def _go_on(request: urllib.request.Request, part: Path, advance: Advance) -> None:
    """One request for what is missing."""
    start = _size(part)
    request.remove_header("Range")
    if start:
        request.add_header("Range", f"bytes={start}-")
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
        if response.status != 206:  # the server ignores ranges and sends all of it
            start = 0
        elif (said := _first_byte(response.headers.get("Content-Range", ""))) != start:
            part.unlink(missing_ok=True)
            raise _BrokenError(f"the server sent bytes from {said} on in place of {start}")
        length = response.headers.get("Content-Length")
        total = start + int(length) if length is not None else None
        if total is not None:  # an archive of pictures unpacks to about its own size, so that is needed too
            check_room(part.parent, total - start + total, "to fetch and unpack")
        done = _write(response, part, start, total, advance)
    if total is not None and done < total:
        raise _BrokenError("the connection broke")


def _write(response: http.client.HTTPResponse, part: Path, done: int, total: int | None, advance: Advance) -> int:
    try:
        file = part.open("ab" if done else "wb")
    except OSError as error:
        raise UserError(f"cannot write {part}: {error.strerror or error}") from error
    with file:
        while chunk := response.read1(_CHUNK):
            try:
                file.write(chunk)
                file.flush()  # so that a kill costs nothing that has arrived
            except OSError as error:
                raise UserError(f"cannot write {part}: {error.strerror or error}") from error
            done += len(chunk)
            advance(done, total)
        os.fsync(file.fileno())
    return done


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _first_byte(content_range: str) -> int | None:
    match = re.match(r"bytes (\d+)-", content_range)
    return int(match[1]) if match else None
