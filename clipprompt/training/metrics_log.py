"""``metrics.jsonl``, one line per epoch (and per step when asked for), and TensorBoard events where it is installed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clipprompt.errors import UserError
from clipprompt.files import write_text
from clipprompt.training._events import open_events


class MetricsLog:
    """Writes what a run measures. Every line carries its ``step``, by which it is found again on resuming."""

    def __init__(self, folder: Path, step: int, epoch: int) -> None:
        """Opens the log of a run; what was written beyond its checkpoint is cut off.

        Args:
            folder: the run folder.
            step: optimiser steps of the checkpoint that the run goes on from.
            epoch: epochs that are finished in it. An epoch's line has the step of its last batch, so a run that was
                killed behind the last batch of an epoch, but before its end was saved, is told by this alone.
        """
        self._path = folder / "metrics.jsonl"
        done = [line for line in read_metrics(self._path) if line["step"] <= step and line.get("epoch", 0) <= epoch]
        lines = [json.dumps(line) for line in done]
        write_text(self._path, "".join(f"{line}\n" for line in lines))
        self._events = open_events(folder, step)

    def write(self, **values: Any) -> None:
        """Appends one line and brings it to the disk.

        Raises:
            UserError: if the disk is full.
        """
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(values) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise UserError(
                f"cannot write {self._path}: {error.strerror or error}; the last checkpoint is kept"
            ) from error
        if self._events is not None:
            scalars = {name: value for name, value in values.items() if name not in ("step", "epoch")}
            self._events.write(values["step"], scalars)

    def close(self) -> None:
        """Ends the TensorBoard file."""
        if self._events is not None:
            self._events.close()


@contextmanager
def open_metrics(folder: Path | None, step: int, epoch: int) -> Iterator[MetricsLog | None]:
    """A log that is closed at the end, or None where there is no folder."""
    log = MetricsLog(folder, step, epoch) if folder is not None else None
    try:
        yield log
    finally:
        if log is not None:
            log.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a ``metrics.jsonl``; a last line that was torn by a kill is left out.

    Raises:
        UserError: if a line before the last cannot be read.
    """
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            value = json.loads(line) if line else None
        except ValueError as error:
            if number == len(lines):
                break
            raise UserError(f"{path}: line {number} is not JSON") from error
        if isinstance(value, dict) and isinstance(value.get("step"), int):
            found.append(value)
    return found
