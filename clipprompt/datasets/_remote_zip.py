"""One file out of a zip archive on a server, without fetching the rest: a few megabytes in place of gigabytes."""

from __future__ import annotations

import http.client
import io
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import PurePosixPath

_BUFFER = 1 << 20
_TIMEOUT = 30.0


def read_member(url: str, size: int, name: str, headers: Mapping[str, str] | None = None) -> bytes | None:
    """The content of the archive's first file called ``name``, in whatever folder; its CRC is checked.

    Args:
        url: of the archive, http or https.
        size: of the archive in bytes.
        name: of the file, without folders.
        headers: for this address alone, not for one that it leads to, such as a token.

    Returns:
        None where there is no such file, or the server does not send parts, or nothing at all: whoever needs the file
        fetches the archive, and is told then what is wrong.
    """
    try:
        with zipfile.ZipFile(io.BufferedReader(_RemoteFile(url, size, headers or {}), _BUFFER)) as zipped:
            members = (one for one in zipped.namelist() if PurePosixPath(one).name == name)
            return zipped.read(member) if (member := next(members, None)) else None
    except urllib.error.HTTPError as error:
        error.close()
    except (OSError, EOFError, http.client.HTTPException, zipfile.BadZipFile, zlib.error):
        pass
    return None


class _RemoteFile(io.RawIOBase):
    """A file on a server that can be read from any place; each read is a request."""

    def __init__(self, url: str, size: int, headers: Mapping[str, str]) -> None:
        self._url, self._size, self._headers = url, size, headers
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        n_bytes = min(len(buffer), self._size - self._place)
        if n_bytes <= 0:
            return 0
        span = f"bytes={self._place}-{self._place + n_bytes - 1}"
        request = urllib.request.Request(self._url, headers={"User-Agent": "clipprompt", "Range": span})
        for name, value in self._headers.items():
            request.add_unredirected_header(name, value)
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
            if response.status != 206:
                raise OSError("the server does not send parts of files")
            content = response.read(n_bytes)
        buffer[: len(content)] = content
        self._place += len(content)
        return len(content)
