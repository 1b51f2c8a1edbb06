"""TensorBoard events, written on the spot.

torch's own ``SummaryWriter`` writes from a thread, which prints a traceback when the disk is full, and it takes a
second to import. An events file is only a list of records, so we write them ourselves.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class EventFile:
    """One events file. A full disk costs the events, which are a copy of the metrics, and never the run."""

    def __init__(self, folder: Path, step: int) -> None:
        """Begins a file; TensorBoard drops what older files of the folder hold beyond ``step``."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # type: ignore[import-untyped]
        from tensorboard.summary.writer.record_writer import RecordWriter  # type: ignore[import-untyped]

        self._event: Any = Event
        name = f"events.out.tfevents.{time.time_ns() // 10**6}.{socket.gethostname()}.{os.getpid()}"
        self._file = (folder / name).open("wb")
        self._writer: Any = RecordWriter(self._file)
        self._write(file_version="brain.Event:2")
        if step:
            self._write(step=step + 1, session_log=SessionLog(status=SessionLog.START))

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Writes the values of a step."""
        self._write(step=step, summary={"value": [{"tag": tag, "simple_value": v} for tag, v in scalars.items()]})

    def close(self) -> None:
        """Ends the file."""
        with contextlib.suppress(OSError):
            self._file.close()

    def _write(self, **fields: Any) -> None:
        with contextlib.suppress(OSError, ValueError):  # ValueError: closed after a full disk
            self._writer.write(self._event(wall_time=time.time(), **fields).SerializeToString())
            self._writer.flush()


def open_events(folder: Path, step: int) -> EventFile | None:
    """An events file, or None where TensorBoard is not installed."""
    try:
        return EventFile(folder, step)
    except ImportError:  # an optional extra
        return None
