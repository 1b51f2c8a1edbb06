"""Measures one side of a comparison in a process of its own, so that time and peak memory belong to it alone."""

from __future__ import annotations

import json
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple, TypedDict

# Real captions and photos beside the checkout; what needs them makes do without.
SHARED = Path(os.environ.get("CLIPPROMPT_SHARED", Path(__file__).resolve().parents[3] / "shared"))


# Where the benchmarks that can run on a GPU run; the processes that measure inherit it.
DEVICE = os.environ.get("CLIPPROMPT_BENCH_DEVICE", "cpu")


class Measured(NamedTuple):
    """What one side cost.

    Attributes:
        seconds: median over the repeats.
        megabytes: peak resident memory of its process, libraries and weights included; on a GPU, of its tensors there.
    """

    seconds: float
    megabytes: float


class Row(TypedDict):
    """One comparison: seconds and peak megabytes of the plain formulation and of ours, or of ours alone."""

    what: str
    plain_s: float | None
    ours_s: float
    ratio: float | None
    plain_mb: float | None
    ours_mb: float | None
    note: str


def measure(make: Callable[[], Callable[[], object]], repeats: int) -> Measured:
    """Builds a step in a fresh process, runs it once to warm up, then ``repeats`` times.

    Args:
        make: module-level function that returns the step.
        repeats: timed calls.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(make, repeats, sender))
    process.start()
    sender.close()
    try:
        seconds, megabytes = json.loads(receiver.recv())
    except EOFError:
        raise RuntimeError(f"{make.__name__} ended without a result (exit code {process.exitcode})") from None
    finally:
        process.join()
    return Measured(seconds, megabytes)


def compare(
    what: str,
    plain: Callable[[], Callable[[], object]],
    ours: Callable[[], Callable[[], object]],
    repeats: tuple[int, int],
    note: str = "",
) -> Row:
    """Measures both sides, one after the other."""
    return row(what, measure(plain, repeats[0]), measure(ours, repeats[1]), note)


def row(what: str, plain: Measured | None, ours: Measured, note: str = "") -> Row:
    """What was measured of both sides, or of ours where there is nothing to compare with."""
    return Row(
        what=what,
        plain_s=plain and plain.seconds,
        ours_s=ours.seconds,
        ratio=plain and plain.seconds / ours.seconds,
        plain_mb=plain and plain.megabytes,
        ours_mb=ours.megabytes,
        note=note,
    )


def _run(make: Callable[[], Callable[[], object]], repeats: int, sender: Connection) -> None:
    step = make()
    step()
    times = []
    for _ in range(repeats):
        start = _clock()
        step()
        times.append(_clock() - start)
    sender.send(json.dumps([statistics.median(times), _peak()]))


def _clock() -> float:
    if DEVICE != "cpu":
        import torch

        torch.cuda.synchronize()
    return time.perf_counter()


def _peak() -> float:
    if DEVICE != "cpu":
        import torch

        return torch.cuda.max_memory_allocated() / 1e6
    import resource  # not on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
