"""``clipprompt eval …`` in a process of its own, to be killed; forked from a server that has imported everything."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

import clipprompt.sweep.sweep  # noqa: F401 (imported here, once, for all processes)
from clipprompt.cli import main

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])


class Sweep:
    """A command in ``folder``, whose output goes to files there.

    Attributes:
        process: of the command.
    """

    def __init__(self, folder: Path, *arguments: str) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        # The server looks for this module when it starts, before it knows pytest's own path.
        root = str(Path(__file__).parents[2])
        os.environ["PYTHONPATH"] = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
        self.process: BaseProcess = _CONTEXT.Process(target=_run, args=(str(folder), arguments))
        self.process.start()

    def wait_for(self, moment: Callable[[], bool], timeout: float = 120.0) -> None:
        """Waits until something is so; fails where the command ends before."""
        deadline = time.monotonic() + timeout
        while not moment():
            assert self.process.is_alive(), f"it ended before: {self.errors}"
            assert time.monotonic() < deadline, f"it never came to it: {self.errors}"
            time.sleep(0.01)

    def end(self, timeout: float = 240.0) -> int:
        """Waits for its end; gives the exit code."""
        self.process.join(timeout)
        assert self.process.exitcode is not None, f"it does not end: {self.errors}"
        return self.process.exitcode

    def kill(self) -> None:
        """Ends it by SIGKILL."""
        self.process.kill()
        self.process.join()

    @property
    def out(self) -> str:
        """What it has written to stdout."""
        return (self._folder / "stdout.txt").read_text()

    @property
    def errors(self) -> str:
        """What it has written to stderr."""
        return (self._folder / "stderr.txt").read_text()


def _run(folder: str, arguments: tuple[str, ...]) -> None:
    torch.set_num_threads(1)
    os.environ["COLUMNS"] = "80"  # the server may have started in a test of another width
    os.chdir(folder)
    for descriptor, name in ((1, "stdout.txt"), (2, "stderr.txt")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), descriptor)
    sys.stdout, sys.stderr = (open(number, "w") for number in (1, 2))  # noqa: SIM115, PTH123
    sys.argv = ["clipprompt", *arguments]
    main()
