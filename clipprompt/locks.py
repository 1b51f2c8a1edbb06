"""One process at a time in a folder."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from clipprompt.errors import UserError


class InUseError(UserError):
    """Another running process has the folder open."""


@contextmanager
def locked(folder: Path, name: str, wait: bool = False) -> Iterator[None]:
    """Keeps other processes out of a folder, by a file ``name`` in it, which says who is inside.

    The system drops the lock with the process, however it ends, so a killed run leaves nothing to clean up.

    Args:
        folder: that exists.
        name: of the file; processes that use another do not meet.
        wait: until the folder is free, which is said on stderr.

    Raises:
        UserError: if the folder cannot be written to.
        InUseError: if another process is inside, and this one does not wait.
    """
    try:
        import fcntl
    except ImportError:  # not on Windows; there, two processes in one folder are the user's care
        yield
        return
    try:
        file = (folder / name).open("a", encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write in {folder}: {error.strerror or error}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if not wait:
                raise InUseError(f"{folder} is in use by another running process") from error
            print(f"waiting for another process, which is at {folder}", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            pass  # a file system without locks
        _sign(file)
        yield


def _sign(file: IO[str]) -> None:
    with contextlib.suppress(OSError):
        file.truncate(0)
        file.write(f"{os.getpid()} {socket.gethostname()}\n")
        file.flush()
