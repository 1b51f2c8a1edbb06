"""Starts the processes that share a run, watches over them, and ends with what the first one gives.

    this process --spawn--> process 0 … n-1, which find each other as torchrun's do
         ^                        |
         +------- messages, then one outcome each: a result, a refusal, an interruption, a failure

Watching from outside keeps a run from hanging: a process that was killed leaves the others waiting in a sum over
processes, where no signal reaches them.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Literal

from clipprompt.errors import UserError
from clipprompt.stopping import InterruptedRunError, stop_on_signals

Say = Callable[[str], None]
_Kind = Literal["say", "done", "refused", "stopped", "failed", "killed"]
# Time in which the others may end by themselves, once one has failed.
GRACE_SECONDS = 10.0


def n_started() -> int:
    """Of how many processes, started by ``run_in_processes`` or torchrun, this is one."""
    if int(os.environ.get("GROUP_WORLD_SIZE", "1")) > 1:
        raise UserError("a run is shared by processes of one machine; torchrun was started with several nodes")
    return int(os.environ.get("WORLD_SIZE", "1")) if "LOCAL_RANK" in os.environ else 1


def is_first() -> bool:
    """Whether this process writes files and speaks."""
    return n_started() == 1 or os.environ.get("RANK", "0") == "0"


@contextmanager
def quiet_unless_first() -> Iterator[None]:
    """Nothing is shown by the other processes: no progress, no messages, no warnings."""
    if is_first():
        yield
        return
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stderr(nowhere):
        yield


def run_in_processes(work: Callable[..., Any], arguments: Sequence[Any], n_processes: int, say: Say) -> Any:
    """Calls ``work(*arguments, say)`` in several processes.

    A signal to this process is passed on. The end of one process is the end of all, within ``GRACE_SECONDS``.

    Args:
        work: a function that the processes can import.
        arguments: what can be pickled.
        n_processes: how many.
        say: takes the messages of the first process.

    Returns:
        What the first process's call returned.

    Raises:
        UserError: if one of them raised it, or was killed.
        InterruptedRunError: after Ctrl-C or SIGTERM.
        RuntimeError: with the traceback of one that failed in another way.
    """
    with stop_on_signals() as stop:
        workers = _start(work, arguments, n_processes)
        try:
            is_told = False
            while all(worker.is_well for worker in workers) and not all(worker.outcome for worker in workers):
                _listen(workers, say, timeout=0.2)
                if stop.signum is not None and not is_told:
                    is_told = _tell_to_stop(workers)
            if not is_told:  # a second signal would act at once, in the middle of a checkpoint
                _tell_to_stop(workers)
            _await_end(workers, say)
        finally:
            for worker in workers:
                worker.process.kill()
                worker.process.join()
    return _conclude(workers, stop.signum)


@dataclass
class _Outcome:
    kind: _Kind
    content: Any
    moment: float


@dataclass
class _Worker:
    process: Any
    receiver: Connection
    rank: int
    outcome: _Outcome | None = None

    @property
    def is_well(self) -> bool:
        """Whether it is at work or has done it."""
        return self.outcome is None or self.outcome.kind == "done"


def _start(work: Callable[..., Any], arguments: Sequence[Any], n_processes: int) -> list[_Worker]:
    # Spawned: a fork of a process with threads and a GPU cannot use either.
    context, port, workers = multiprocessing.get_context("spawn"), _free_port(), list[_Worker]()
    for rank in range(n_processes):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(sender, rank, n_processes, port, work, tuple(arguments)))
        process.start()
        sender.close()
        workers.append(_Worker(process, receiver, rank))
    return workers


def _listen(workers: Sequence[_Worker], say: Say, timeout: float) -> None:
    """Takes what the processes send; a pipe that closes without an outcome is a process that was killed."""
    at_work = {worker.receiver: worker for worker in workers if worker.outcome is None}
    for receiver in wait(list(at_work), timeout):
        worker = at_work[receiver]  # type: ignore[index]
        try:
            kind, content, moment = worker.receiver.recv()
        except EOFError:
            kind, content, moment = "killed", worker.rank, time.monotonic()
        if kind == "say":
            say(content)
        else:
            worker.outcome = _Outcome(kind, content, moment)


def _tell_to_stop(workers: Sequence[_Worker]) -> Literal[True]:
    for worker in workers:
        if worker.outcome is None:
            worker.process.terminate()
    return True


def _await_end(workers: Sequence[_Worker], say: Say) -> None:
    """Gives all processes the time to end."""
    deadline = time.monotonic() + GRACE_SECONDS
    while not all(worker.outcome for worker in workers) and time.monotonic() < deadline:
        _listen(workers, say, timeout=0.1)


def _conclude(workers: Sequence[_Worker], signum: int | None) -> Any:
    # What came first is the cause, and what followed from it (a peer that is gone, a kill by us) is not.
    outcomes = sorted((w.outcome for w in workers if w.outcome is not None), key=lambda outcome: outcome.moment)
    cause = next((outcome for outcome in outcomes if outcome.kind != "done"), outcomes[0])
    if cause.kind == "refused":
        raise cause.content
    if signum is not None and cause.kind != "done":
        said = [outcome.content[1] for outcome in outcomes if outcome.kind == "stopped"]
        raise InterruptedRunError(signum, said[0] if said else "stopped before the first step")
    if cause.kind == "killed":
        how = _how_it_ended(workers[cause.content].process.exitcode)
        raise UserError(f"process {cause.content + 1} of {len(workers)} {how}; what it had saved is kept")
    if cause.kind == "failed":
        raise RuntimeError(f"a process of the run failed:\n{cause.content}")
    if cause.kind == "stopped":
        raise InterruptedRunError(*cause.content)
    return workers[0].outcome.content if workers[0].outcome else None


def _how_it_ended(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"was killed ({signal.Signals(-exitcode).name})"
    return f"ended with exit code {exitcode}"


def _work(sender: Connection, rank: int, n_processes: int, port: int, work: Callable[..., Any], arguments: Any) -> None:
    """What a started process does."""
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C in a terminal goes to the watching process, which passes it on, once
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": n_processes, "LOCAL_WORLD_SIZE": n_processes}
    os.environ.update({name: str(value) for name, value in numbers.items()})
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def send(kind: _Kind, content: Any) -> None:
        sender.send((kind, content, time.monotonic()))

    def say(message: str) -> None:
        if rank == 0:
            send("say", message)

    try:
        send("done", work(*arguments, say))
    except UserError as error:
        send("refused", error)
    except InterruptedRunError as stop:
        send("stopped", (stop.signum, str(stop)))
    except Exception:
        send("failed", traceback.format_exc())
    sys.stdout.flush()
    os._exit(0)  # the others may be gone, and taking leave of them could wait for ever


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
