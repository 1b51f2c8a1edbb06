"""The command line in a process of its own, with pipes, for signals and readers that go away.

The processes are forked from a server that has imported everything, so that each starts in a few milliseconds.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

import clipprompt.inference.tagger
import clipprompt.reports.pages.tag_page  # noqa: F401 (imported here, once, for all processes)
from clipprompt.cli import main

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])


class CommandProcess:
    """``clipprompt ARGUMENTS`` in ``folder``, whose stdin and stdout are pipes.

    Attributes:
        stdin: descriptor to write to.
        stdout: descriptor to read from.
    """

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._errors = folder / "stderr.pipe.txt"
        pipes = [folder / "stdin.pipe", folder / "stdout.pipe"]
        for pipe in pipes:
            os.mkfifo(pipe)
        # The server looks for this module when it starts, before it knows pytest's own path.
        root = str(Path(__file__).parents[2])
        os.environ["PYTHONPATH"] = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
        self.process: BaseProcess = _CONTEXT.Process(target=_run, args=(str(folder), arguments))
        self.process.start()
        self.stdin = os.open(pipes[0], os.O_WRONLY)
        self.stdout = os.open(pipes[1], os.O_RDONLY)
        for pipe in pipes:
            pipe.unlink()

    def send(self, content: bytes) -> None:
        """Writes to its stdin."""
        os.write(self.stdin, content)

    def read(self) -> bytes:
        """Whatever its stdout has now; waits for something, and is empty at the end."""
        return os.read(self.stdout, 1 << 20)

    def signal(self, signum: int) -> None:
        """Sends a signal."""
        assert self.process.pid is not None
        os.kill(self.process.pid, signum)

    def end(self) -> tuple[int | None, str, str]:
        """Waits for its end: exit code, the rest of stdout, stderr."""
        rest = b"".join(iter(self.read, b"")) if self.stdout >= 0 else b""
        self.process.join(60)
        return self.process.exitcode, rest.decode(), self._errors.read_text()

    def close_stdout(self) -> None:
        """Reads no more."""
        os.close(self.stdout)
        self.stdout = -1

    def close(self) -> None:
        """Ends it whatever it does."""
        self.process.kill()
        self.process.join()
        os.close(self.stdin)
        if self.stdout >= 0:
            self.close_stdout()


def _run(folder: str, arguments: tuple[str, ...]) -> None:
    torch.set_num_threads(1)
    os.chdir(folder)
    modes = [("stdin.pipe", os.O_RDONLY), ("stdout.pipe", os.O_WRONLY), ("stderr.pipe.txt", os.O_WRONLY | os.O_CREAT)]
    for descriptor, (name, mode) in enumerate(modes):
        os.dup2(os.open(name, mode, 0o600), descriptor)
    sys.stdin, sys.stdout, sys.stderr = (open(number, mode) for number, mode in enumerate("rww"))  # noqa: SIM115, PTH123
    sys.argv = ["clipprompt", *arguments]
    main()
