"""What a job would show goes to its log: a table of all jobs stands on the terminal, or other jobs write there."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import datetime
from pathlib import Path
from typing import TextIO

from clipprompt.errors import UserError


@contextmanager
def output_to(log: Path) -> Iterator[None]:
    """Appends what is printed and warned of meanwhile to a file. Progress bars are for terminals, so they are silent.

    Raises:
        UserError: if the file cannot be opened.
    """
    try:
        file = log.open("a", encoding="utf-8", errors="backslashreplace", buffering=1)
    except OSError as error:
        raise UserError(f"cannot write {log}: {error.strerror or error}") from error
    with file, _loggers_to(file), redirect_stdout(file), redirect_stderr(file):
        yield


def note(log: Path, message: str) -> None:
    """Adds a line with the time to a log; a full disk is no reason to fail here."""
    with contextlib.suppress(OSError), log.open("a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(f"{datetime.now().astimezone().isoformat(timespec='seconds')} {message.rstrip()}\n")


@contextmanager
def _loggers_to(file: TextIO) -> Iterator[None]:
    """Handlers keep the stream that they were made with."""
    streams = (sys.stderr, sys.__stderr__)
    handlers = [one for one in logging.getLogger().handlers if isinstance(one, logging.StreamHandler)]
    before = [(handler, handler.setStream(file)) for handler in handlers if handler.stream in streams]
    try:
        yield
    finally:
        for handler, stream in before:
            handler.setStream(stream)
