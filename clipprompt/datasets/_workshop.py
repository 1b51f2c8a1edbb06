"""The hidden folder below ``--root`` in which a download does its work."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from clipprompt.errors import UserError

WORKSHOP = ".clipprompt-download"
"""The folder below ``--root`` where parts and archives lie until they are unpacked."""


@contextmanager
def workshop(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """A hidden folder for parts and archives, for one download at a time.

    When all went well, the archives ``names`` and their parts are removed, also what a killed run left; others stay.

    Raises:
        UserError: if another download into ``folder`` is at work, or it cannot be written to.
    """
    from filelock import FileLock, Timeout

    inside = folder / WORKSHOP
    try:
        inside.mkdir(parents=True, exist_ok=True)
        with FileLock(inside / "lock", timeout=0):
            try:
                yield inside
                for name in names:
                    (inside / name).unlink(missing_ok=True)
                    (inside / f"{name}.part").unlink(missing_ok=True)
            finally:
                if all(path.name == "lock" for path in inside.iterdir()):
                    shutil.rmtree(inside, ignore_errors=True)
    except Timeout as error:
        raise UserError(f"another download into {folder} is at work; wait for it, or stop it") from error
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror or error}") from error
