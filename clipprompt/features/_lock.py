"""One process at a time writes a folder; the others wait, and then find what it wrote."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clipprompt.errors import UserError


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Waits until no other process is inside. The system lets go of a lock with its process, however that ends.

    Raises:
        UserError: if the folder cannot be written to.
    """
    try:
        import fcntl
    except ImportError:  # not on Windows; there, two extractions into one folder are the user's care
        yield
        return
    try:
        file = (folder / ".lock").open("w")
    except OSError as error:
        raise UserError(f"cannot write in {folder}: {error.strerror or error}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another process, which encodes the same pictures into {folder}", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            pass  # a file system without locks
        yield
