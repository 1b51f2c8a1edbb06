"""Real processes, really killed: whatever the moment, the run goes on and ends with the same bits."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from clipprompt.training.metrics_log import read_metrics
from tests.training._worker import finish, start, write_backbone, write_corpus
from tests.training.conftest import CAPTIONS, CLASSNAMES, LABELS


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("world")
    corpus = write_corpus(folder / "corpus.parquet", CAPTIONS, LABELS, CLASSNAMES)
    backbone = write_backbone(folder / "tiny")
    return [
        f"data.corpus={corpus}",
        f"backbone.name={backbone}",
        "device=cpu",
        "templates=false",
        "n_ctx=2",
        "epochs=12",
        "batch_size=3",
        "lr=0.1",
        "checkpoint_steps=1",
        "log_steps=1",
        "cache_memory_gb=0",
    ]


@pytest.fixture(scope="module")
def whole(settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A run that nobody disturbed, and how long it took."""
    folder = tmp_path_factory.mktemp("whole")
    assert finish(folder / "warm-up", settings) == 0  # the server that the processes are forked from starts here
    started = time.monotonic()
    assert finish(folder / "run", settings) == 0
    return folder / "run", time.monotonic() - started


def assert_same_run(first: Path, second: Path) -> None:
    assert (first / "prompt.json").read_bytes() == (second / "prompt.json").read_bytes()
    one, other = load_file(first / "prompt.safetensors"), load_file(second / "prompt.safetensors")
    assert one.keys() == other.keys() == {"ctx", "ctx_local"}
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert _measured(first) == _measured(second)
    assert _names(first) == _names(second)


def _measured(folder: Path) -> list[dict[str, float]]:
    return [{k: v for k, v in line.items() if k != "seconds"} for line in read_metrics(folder / "metrics.jsonl")]


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith("events.")}


def kill_randomly(folder: Path, settings: list[str], duration: float, n_kills: int, seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(n_kills):
        process = start(folder, settings)
        time.sleep(draw.uniform(0.0, duration))
        process.kill()
        process.join()
        assert process.exitcode in (-signal.SIGKILL, 0)


@pytest.mark.parametrize("seed", [1])
def test_killed_at_random_moments_it_ends_bit_identical(
    seed: int, settings: list[str], whole: tuple[Path, float], tmp_path: Path
) -> None:
    folder, duration = whole
    kill_randomly(tmp_path, settings, duration, 4, seed)
    assert finish(tmp_path, settings) == 0
    assert_same_run(folder, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 15))
def test_killed_many_times_it_ends_bit_identical(
    seed: int, settings: list[str], whole: tuple[Path, float], tmp_path: Path
) -> None:
    folder, duration = whole
    kill_randomly(tmp_path, settings, duration, 10, seed)
    assert finish(tmp_path, settings) == 0
    assert_same_run(folder, tmp_path)


@pytest.mark.parametrize("kill_at", [3, 31])
def test_killed_before_a_change_to_the_disk_it_ends_bit_identical(
    kill_at: int, settings: list[str], whole: tuple[Path, float], tmp_path: Path
) -> None:
    process = start(tmp_path, settings, kill_at)
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert finish(tmp_path, settings) == 0
    assert_same_run(whole[0], tmp_path)


@pytest.mark.slow
def test_killed_all_along_the_way_it_ends_bit_identical(
    settings: list[str], whole: tuple[Path, float], tmp_path: Path
) -> None:
    kill_at, exitcode = 0, -signal.SIGKILL
    while exitcode == -signal.SIGKILL:
        folder = tmp_path / str(kill_at)
        process = start(folder, settings, kill_at)
        process.join(120)
        exitcode = process.exitcode or 0
        assert finish(folder, settings) == 0
        assert_same_run(whole[0], folder)
        kill_at += 11  # no multiple of the changes of a step, so all kinds of change have their turn
    assert kill_at > 150


def test_killed_again_and_again_on_the_way_it_ends_bit_identical(
    settings: list[str], whole: tuple[Path, float], tmp_path: Path
) -> None:
    for _ in range(3):  # each time a little further: a resumed run makes some changes before it goes on
        process = start(tmp_path, settings, kill_at=25)
        process.join(120)
        assert process.exitcode == -signal.SIGKILL
    assert finish(tmp_path, settings) == 0
    assert_same_run(whole[0], tmp_path)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_polite_signal_saves_and_exits_with_its_own_code(
    signum: int, settings: list[str], whole: tuple[Path, float], tmp_path: Path
) -> None:
    process = start(tmp_path, settings)
    while process.is_alive() and not (tmp_path / "checkpoints" / "last.safetensors").exists():
        time.sleep(0.002)
    assert process.pid is not None
    os.kill(process.pid, signum)
    process.join(120)
    assert process.exitcode == 128 + signum
    assert finish(tmp_path, settings) == 0
    assert_same_run(whole[0], tmp_path)


def test_a_finished_folder_keeps_no_cache_and_says_what_it_was_made_of(whole: tuple[Path, float]) -> None:
    folder, _ = whole
    assert _names(folder) == {
        ".lock",
        "checkpoints",
        "config.yaml",
        "log.txt",
        "metrics.jsonl",
        "prompt.json",
        "prompt.safetensors",
    }
    assert json.loads((folder / "prompt.json").read_text())["classnames"] == list(CLASSNAMES)
