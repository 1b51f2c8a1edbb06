"""Two real processes that share a run, one of them really killed: the run ends, keeps what it had, and goes on."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from clipprompt.training._processes import GRACE_SECONDS
from tests.training._shared_run import run_shared
from tests.training._worker import start_process, write_backbone, write_corpus
from tests.training.conftest import CAPTIONS, CLASSNAMES, LABELS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs a system that lists a process's children"),
]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("world")
    corpus = write_corpus(folder / "corpus.parquet", CAPTIONS, LABELS, CLASSNAMES)
    backbone = write_backbone(folder / "tiny")
    small = ["device=cpu", "n_ctx=2", "epochs=40", "batch_size=3", "checkpoint_steps=1", "templates=false"]
    return [f"data.corpus={corpus}", f"backbone.name={backbone}", *small, "devices=2"]


class SharedRun:
    """A run of two processes in a folder."""

    def __init__(self, folder: Path, settings: list[str]) -> None:
        self.folder, self._settings, self._told = folder, settings, folder.with_suffix(".txt")

    def start(self) -> BaseProcess:
        """Starts the process that watches over the two."""
        self._told.unlink(missing_ok=True)
        return start_process(run_shared, str(self.folder), self._settings, str(self._told))

    def end(self, process: BaseProcess) -> tuple[int | None, str]:
        """Exit code, and what was said."""
        process.join(120)
        return process.exitcode, self._told.read_text()

    def await_steps(self) -> None:
        """Until a checkpoint has been written."""
        path, before = self.folder / "checkpoints" / "last.safetensors", self._written()
        while not path.exists() or self._written() == before:
            time.sleep(0.002)

    def _written(self) -> int:
        path = self.folder / "checkpoints" / "last.safetensors"
        return path.stat().st_mtime_ns if path.exists() else 0


def children(process: BaseProcess) -> list[int]:
    """Process numbers, in the order in which they were started."""
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def test_a_shared_run_that_loses_a_process_or_is_stopped_goes_on_to_the_same_bits(
    settings: list[str], tmp_path: Path
) -> None:
    whole, cut = SharedRun(tmp_path / "whole", settings), SharedRun(tmp_path / "cut", settings)
    assert whole.end(whole.start())[0] == 0

    process = cut.start()
    cut.await_steps()
    killed = time.monotonic()
    os.kill(children(process)[-1], signal.SIGKILL)
    code, said = cut.end(process)
    assert time.monotonic() - killed < GRACE_SECONDS + 30
    assert (code, said) == (2, "process 2 of 2 was killed (SIGKILL); what it had saved is kept")

    process = cut.start()
    cut.await_steps()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGTERM)
    code, said = cut.end(process)
    assert code == 128 + signal.SIGTERM
    assert said.startswith("stopped at epoch ")

    code, said = cut.end(cut.start())
    assert code == 0
    assert said.splitlines()[0] == f"Going on with {cut.folder}"
    for name in ("prompt.safetensors", "prompt.json"):
        assert (whole.folder / name).read_bytes() == (cut.folder / name).read_bytes()
