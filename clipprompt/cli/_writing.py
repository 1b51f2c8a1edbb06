"""Output that is valid whenever it ends: at the end, at Ctrl-C or SIGTERM, at a closed pipe, on a full disk."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from clipprompt.errors import UserError
from clipprompt.files import replace_file

Write = Callable[[str], None]


class Interruption:
    """Ctrl-C and SIGTERM as ``KeyboardInterrupt``, at once but never in the middle of a write.

    A second one acts as outside.

    Attributes:
        signum: the signal that came, or None.
    """

    _SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.signum: int | None = None
        self._is_writing = False

    def __enter__(self) -> Interruption:
        self._before = {number: signal.signal(number, self._receive) for number in self._SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    @property
    def exit_code(self) -> int:
        """As shells count: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + (self.signum or signal.SIGINT)

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """A signal that comes inside is raised at the end."""
        self._is_writing = True
        try:
            yield
        finally:
            self._is_writing = False
        if self.signum is not None:
            raise KeyboardInterrupt

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        self.signum = signum
        self._restore()
        if not self._is_writing:
            raise KeyboardInterrupt

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


@contextmanager
def open_output(path: Path | None) -> Iterator[Write]:
    """Yields a function that writes text as UTF-8: to stdout at once, or beside ``path``, to be renamed at the end.

    A file appears when the block ends without an exception. What UTF-8 cannot say becomes an escape.

    Raises:
        UserError: if writing fails, as on a full disk.
        BrokenPipeError: if the reader of stdout has gone.
    """
    if path is None:
        yield _writer(sys.stdout.buffer, "stdout")
        return
    with replace_file(path) as part, part.open("wb") as file:
        yield _writer(file, str(path))


def check_output(path: Path | None, option: str = "-o") -> None:
    """Refuses early what could only fail at the end; ``option`` is what errors call it.

    Raises:
        UserError: if the output cannot be a file.
    """
    if path is None:
        return
    if str(path) == "-":
        raise UserError(f"{option} - would be a file named -; leave out {option} for stdout")
    if path.exists() and not path.is_file():
        raise UserError(f"{option} {path} is not a file; name one, or leave out {option} and redirect stdout")
    for folder in path.parents:
        if folder.exists():
            if not os.access(folder, os.W_OK) or not folder.is_dir():
                raise UserError(f"{option} {path}: {folder} is not a folder that can be written to")
            return


def open_closed_streams() -> None:
    """Standard streams that the caller has closed, as some schedulers do, lead nowhere; Python has None for them."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.open(os.devnull, os.O_RDWR), mode, closefd=False))  # noqa: SIM115


def drop_stdout() -> None:
    """What is left in the buffer of a stdout that failed would fail again at the end of Python."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _writer(file: BinaryIO, name: str) -> Write:
    def write(text: str) -> None:
        try:
            file.write(text.encode("utf-8", "backslashreplace"))
            file.flush()
        except OSError as error:
            if file is sys.stdout.buffer:
                drop_stdout()
            if isinstance(error, BrokenPipeError):
                raise
            raise UserError(f"cannot write to {name}: {(error.strerror or str(error)).lower()}") from error

    return write
