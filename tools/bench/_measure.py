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
from typing import Any, NamedTuple, TypedDict

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


class Held(NamedTuple):
    """What a step holds besides the tensors that are there anyway, in bytes.

    Attributes:
        gradients: of what is learnt.
        activations: kept for the backward pass.
    """

    gradients: int
    activations: int

    @property
    def megabytes(self) -> float:
        """Both."""
        return (self.gradients + self.activations) / 1e6


class Row(TypedDict):
    """One comparison: seconds and megabytes of the plain formulation and of ours, or of ours alone.

    Megabytes are None where both sides share a process, seconds where memory alone is counted.
    """

    what: str
    plain_s: float | None
    ours_s: float | None
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
    seconds, megabytes = _in_process(_run, make, repeats)
    return Measured(seconds, megabytes)


def alternate(make: Callable[[], tuple[Callable[[], object], ...]], repeats: int) -> list[float]:
    """Builds several steps in one fresh process, runs each once to warm up, then all of them in turn.

    What else the machine does slows all of them down alike.

    Args:
        make: module-level function that returns the steps.
        repeats: timed calls of each.

    Returns:
        Seconds of each step, the median.
    """
    return _in_process(_run_in_turn, make, repeats)


def hold(make: Callable[[], tuple[Callable[[], Any], list[Any], list[Any]]]) -> Held:
    """What a loss holds for its backward pass, and the gradients, in a fresh process.

    Args:
        make: module-level function that returns the loss, what is learnt, and tensors that do not count.
    """
    return Held(*_in_process(_hold, make))


def _in_process(work: Callable[..., None], *arguments: Any) -> list[Any]:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(*arguments, sender))
    process.start()
    sender.close()
    try:
        found: list[Any] = json.loads(receiver.recv())
    except EOFError:
        raise RuntimeError(f"{arguments[0]} ended without a result (exit code {process.exitcode})") from None
    finally:
        process.join()
    return found


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


def _run_in_turn(make: Callable[[], tuple[Callable[[], object], ...]], repeats: int, sender: Connection) -> None:
    steps = make()
    for step in steps:
        step()
    times: list[list[float]] = [[] for _ in steps]
    for _ in range(repeats):
        for step, of_step in zip(steps, times, strict=True):
            start = _clock()
            step()
            of_step.append(_clock() - start)
    sender.send(json.dumps([statistics.median(of_step) for of_step in times]))


def _hold(make: Callable[[], tuple[Callable[[], Any], list[Any], list[Any]]], sender: Connection) -> None:
    sender.send(json.dumps(count_held(*make())))


def count_held(loss: Callable[[], Any], learnt: list[Any], there: list[Any]) -> Held:
    """What :func:`hold` measures, in this process."""
    import torch

    known = {tensor.untyped_storage().data_ptr() for tensor in there}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        value = loss()
        activations = sum(kept.values())
        value.backward()
    return Held(sum(p.grad.nbytes for p in learnt if p.grad is not None), activations)


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
