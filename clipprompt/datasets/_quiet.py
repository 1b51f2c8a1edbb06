"""Pillow's warnings about strange files, kept from a stderr on which every skipped file has its one line."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_lock = threading.Lock()
_n_inside = 0


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Drops warnings that are issued in Pillow while a thread is inside.

    ``warnings.catch_warnings`` restores what it found, which leaves the filter behind for ever when threads overlap.
    Here the filter is one entry that the last thread takes out again; no other entry is touched.
    """
    global _n_inside
    with _lock:
        _n_inside += 1
        warnings.filterwarnings("ignore", module=r"PIL\.")
        entry = warnings.filters[0]
    try:
        yield
    finally:
        with _lock:
            _n_inside -= 1
            if _n_inside == 0:
                with suppress(ValueError):  # someone's catch_warnings has put another list in place
                    warnings.filters.remove(entry)  # type: ignore[attr-defined]
