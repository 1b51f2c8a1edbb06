"""Runs commands one after another, each in a process of its own that has imported already what all of them import.

Started as a program it reads a command's words from a line of JSON, and answers with a line: exit code, stdout, stderr.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType


class CommandServer:
    """A context that starts the program and asks it."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder, self._environment = folder, environment

    def __enter__(self) -> CommandServer:
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__)],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.communicate()

    def run(self, words: Sequence[str]) -> tuple[int, str, str]:
        """``clipprompt WORDS``: its exit code, stdout and stderr."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(list(words)) + "\n")
        self._process.stdin.flush()
        code, out, err = json.loads(self._process.stdout.readline())
        return code, out, err


def _serve() -> None:
    import matplotlib.pyplot  # noqa: F401
    import open_clip  # noqa: F401

    import clipprompt.cli
    import clipprompt.sweep.sweep

    for line in sys.stdin:
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            if not (child := os.fork()):
                os.dup2(out.fileno(), 1)
                os.dup2(err.fileno(), 2)
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                sys.argv = ["clipprompt", *json.loads(line)]
                sys.exit(clipprompt.cli.main())
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode())
        print(json.dumps([code, *texts]), flush=True)


if __name__ == "__main__":
    _serve()
