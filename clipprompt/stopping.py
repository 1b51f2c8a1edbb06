"""Ctrl-C and SIGTERM end a run at the next step, with a checkpoint, instead of in the middle of one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class InterruptedRunError(KeyboardInterrupt):
    """A run was asked to stop and has saved where it stands. ``signum`` says by which signal."""

    def __init__(self, signum: int, message: str) -> None:
        super().__init__(message)
        self.signum = signum


class StopRequest:
    """Remembers that a signal came, and tells the request around it.

    Attributes:
        signum: the signal, or None.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._acts_at_once = False

    def raise_if_asked(self, message: str) -> None:
        """Ends the run if a signal came.

        Raises:
            InterruptedRunError: with ``message``.
        """
        if self.signum is not None:
            raise InterruptedRunError(self.signum, message)

    @contextmanager
    def at_once(self, message: str) -> Iterator[None]:
        """While it is open a signal ends the run where it is, with ``message``: there is nothing to save."""
        self.raise_if_asked(message)
        self._acts_at_once, self._message = True, message
        try:
            yield
        finally:
            self._acts_at_once = False

    def _watch(self) -> None:
        self._before = {number: signal.getsignal(number) for number in _SIGNALS}
        for number in _SIGNALS:
            signal.signal(number, self._receive)

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        self.signum = signum
        self._restore()
        outer = getattr(self._before[signal.Signals(signum)], "__self__", None)
        if isinstance(outer, StopRequest):
            outer._receive(signum, frame)
        if self._acts_at_once:
            raise InterruptedRunError(signum, self._message)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Catches the two signals while it is open; a second one acts at once, as it does outside."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request  # only the main thread may set handlers
        return
    request._watch()
    try:
        yield request
    finally:
        request._restore()


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Puts the handlers of the two signals back: some libraries set their own where they are started."""
    is_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in _SIGNALS if is_main}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
