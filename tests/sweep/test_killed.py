"""Sweeps that are really killed: whatever the moment, the same command goes on and ends with the same records."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sweep._command import Sweep
from tests.sweep.conftest import numbers
from tests.sweep.several import settings, write_several

DRAWN = ["--methods", "coop,kgcoop,vpt", "--datasets", "mini-objects,mini-sketch", "--seeds", "1,2,3", "--shots", "1"]
QUICK = ["--set", "train.epochs=2", "--set", "train.checkpoint_steps=1", "--device", "cpu"]
N_RUNS = 18
SLOW = pytest.mark.slow


def results(folder: Path) -> int:
    """Complete runs: ``job.json`` comes last, and a kill may fall between the two."""
    return sum((path.parent / "job.json").exists() for path in folder.rglob("results.jsonl"))


def learning(folder: Path) -> list[Path]:
    """Runs that are in the middle of their training."""
    begun = {path.parents[1] for path in folder.rglob("last.safetensors")}
    return [run for run in begun if not (run / "prompt.json").exists()]


def kill_worker(folder: Path) -> Path:
    """Kills the process that is at a run, as the run's lock says, in the middle of its training; gives the run."""
    run = learning(folder)[0]
    os.kill(int((run / ".job.lock").read_text().split()[0]), signal.SIGKILL)
    return run


def command(world: Path) -> list[str]:
    data = ["--datasets", f"{world / 'photos'},{world / 'other'}", "--backbone", str(world / "tiny")]
    quick = ["--shots", "4", "--set", "train.epochs=12", "--set", "train.checkpoint_steps=1", "--device", "cpu"]
    return ["eval", "base-to-novel", "--methods", "coop", "--seeds", "1,2", *data, *quick, "-o", "sweep"]


@pytest.fixture(scope="module")
def whole(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    sweep = Sweep(folder, *command(world))
    assert sweep.end() == 0, sweep.errors
    return folder


MOMENTS: dict[str, Callable[[Path], bool]] = {
    "before the first run": lambda folder: (folder / "sweep.yaml").exists(),
    "while a run learns": lambda folder: bool(learning(folder)),
    "behind the first run": lambda folder: results(folder) > 0,
    "near the end": lambda folder: results(folder) > 2,
}


@pytest.mark.parametrize(
    "moment",
    [
        one if one in ("while a run learns", "behind the first run") else pytest.param(one, marks=SLOW)
        for one in MOMENTS
    ],
)
def test_killed_it_goes_on_and_ends_with_the_same_records(
    moment: str, world: Path, whole: Path, tmp_path: Path
) -> None:
    sweep = Sweep(tmp_path, *command(world))
    sweep.wait_for(lambda: MOMENTS[moment](tmp_path / "sweep"))
    sweep.kill()
    there = results(tmp_path / "sweep")
    assert there < 4
    again = Sweep(tmp_path, *command(world))
    assert again.end() == 0, again.errors
    assert (f"{there} of 4 runs are done already" in again.errors) == (there > 0)
    assert numbers(tmp_path / "sweep") == numbers(whole / "sweep")
    assert again.out == Path(whole, "stdout.txt").read_text()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_polite_signal_says_how_to_go_on(signum: int, world: Path, whole: Path, tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, *command(world))
    sweep.wait_for(lambda: bool(learning(tmp_path / "sweep")))
    assert sweep.process.pid is not None
    os.kill(sweep.process.pid, signum)
    assert sweep.end() == 128 + signum
    assert re.fullmatch(r"stopped .*; the same command goes on with sweep", sweep.errors.splitlines()[-1])
    assert sweep.out == ""
    again = Sweep(tmp_path, *command(world))
    assert again.end() == 0, again.errors
    assert numbers(tmp_path / "sweep") == numbers(whole / "sweep")


def test_two_sweeps_in_one_folder_share_the_runs(world: Path, whole: Path, tmp_path: Path) -> None:
    first, second = Sweep(tmp_path / "first", *command(world)[:-1], "../sweep"), None
    first.wait_for(lambda: bool(learning(tmp_path / "sweep")))
    second = Sweep(tmp_path / "second", *command(world)[:-1], "../sweep")
    codes = first.end(), second.end()
    assert codes in ((0, 0), (1, 0), (0, 1)), first.errors + second.errors
    assert numbers(tmp_path / "sweep") == numbers(whole / "sweep")
    for sweep, code in zip((first, second), codes, strict=True):
        assert ("elsewhere: " in sweep.errors) == (code == 1)


@pytest.mark.slow
def test_with_worker_processes_records_are_the_same_and_a_killed_worker_is_replaced(
    world: Path, whole: Path, tmp_path: Path
) -> None:
    sweep = Sweep(tmp_path, *command(world), "--jobs", "2")
    sweep.wait_for(lambda: bool(learning(tmp_path / "sweep")))
    run = kill_worker(tmp_path / "sweep")
    assert sweep.end() == 0, sweep.errors
    assert "its process was killed (SIGKILL); tried once more" in sweep.errors
    assert "Going on with" in (run / "log.txt").read_text()
    assert numbers(tmp_path / "sweep") == numbers(whole / "sweep")
    assert sweep.out == Path(whole, "stdout.txt").read_text()


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three methods on two drawn sets with three seeds, left alone."""
    folder = tmp_path_factory.mktemp("drawn")
    sweep = Sweep(folder, "eval", "base-to-novel", *DRAWN, *QUICK, "-o", "sweep")
    assert sweep.end(600) == 0, sweep.errors
    assert len(numbers(folder / "sweep")) == 2 * N_RUNS
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "kills"), [([], (2, 7, 13)), (["--jobs", "2"], (5,))], ids=["one process", "two processes"]
)
def test_killed_again_and_again_the_table_is_the_same(
    how: list[str], kills: tuple[int, ...], drawn: Path, tmp_path: Path
) -> None:
    folder, draw = tmp_path / "sweep", random.Random(7)
    for n_done in kills:
        sweep = Sweep(tmp_path, "eval", "base-to-novel", *DRAWN, *QUICK, "-o", "sweep", *how)
        sweep.wait_for(lambda n_done=n_done: results(folder) >= n_done)
        time.sleep(draw.uniform(0.0, 0.5))
        sweep.kill()
        assert n_done <= results(folder) < N_RUNS
    last = Sweep(tmp_path, "eval", "base-to-novel", *DRAWN, *QUICK, "-o", "sweep", *how)
    assert last.end(600) == 0, last.errors
    assert last.out == Path(drawn, "stdout.txt").read_text()
    assert json.dumps(numbers(folder)) == json.dumps(numbers(drawn / "sweep"))


@pytest.mark.slow
def test_a_killed_sweep_of_an_ensemble_goes_on_in_two_processes_with_the_same_records(
    world: Path, tmp_path: Path
) -> None:
    data = ["--datasets", str(write_several(world)), "--captions", str(world / "captions.parquet"), "--device", "cpu"]
    chosen = [one for setting in settings(world, "dualcoop", "tai_dpt") for one in ("--set", setting)]
    methods = ["--methods", "dualcoop+tai_dpt", "--known", "0.5,0.9", "--seeds", "1,2"]
    long = ["--set", "train.checkpoint_steps=1", "--set", "dualcoop:train.epochs=12"]
    command = ["eval", "partial-label", *methods, *data, *chosen, *long, "-o", "sweep", "--cache", "cache"]
    undisturbed = Sweep(tmp_path / "whole", *command)
    assert undisturbed.end() == 0, undisturbed.errors
    folder = tmp_path / "cut" / "sweep"
    for moment in (lambda: bool(learning(folder)) and results(folder) > 1, lambda: results(folder) > 6):
        sweep = Sweep(tmp_path / "cut", *command)
        sweep.wait_for(moment)
        sweep.kill()
    assert len(list((folder / "dualcoop+tai_dpt").rglob("results.jsonl"))) < 4
    last = Sweep(tmp_path / "cut", *command, "--jobs", "2")
    assert last.end() == 0, last.errors
    assert numbers(folder) == numbers(tmp_path / "whole" / "sweep")
    assert last.out == undisturbed.out
