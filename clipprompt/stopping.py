"""Ctrl-C and SIGTERM end a run at the next step, with a checkpoint, instead of in the middle of one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class InterruptedRunError(KeyboardInterrupt):
    """A run was asked to stop and has saved where it stands. ``signum`` says by which signal."""

    def __init__(self, signum: int, message: str) -> None:
        super().__init__(message)
        self.signum = signum


class StopRequest:
    """Remembers that a signal came."""

    signum: int | None = None

    def raise_if_asked(self, message: str) -> None:
        """Ends the run if a signal came.

        Raises:
            InterruptedRunError: with ``message``.
        """
        if self.signum is not None:
            raise InterruptedRunError(self.signum, message)


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Catches the two signals while it is open; a second one acts at once, as it does outside."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request  # only the main thread may set handlers
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def remember(signum: int, frame: FrameType | None) -> None:
        request.signum = signum
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in _SIGNALS:
        signal.signal(number, remember)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
