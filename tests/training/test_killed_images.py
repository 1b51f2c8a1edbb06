"""Runs on pictures, really killed: fresh and encoded views, prompts in the image tower, pictures beside captions."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from clipprompt.training.metrics_log import read_metrics
from tests.training._worker import finish, start, write_backbone, write_corpus, write_photos

RUNS = {
    "coop": ("coop", ["train.views=0"]),
    "coop, views": ("coop", ["train.views=2"]),
    "coop, selected": ("coop", ["train.select=val_loss", "train.val_fraction=0.3"]),
    "maple": ("maple", ["learner.depth=2"]),
    "dualcoop, cached": ("dualcoop", ["data.augment=none", "known=0.7", "n_ctx=2"]),
    "tai_dpt, both": ("tai_dpt", ["data.corpus={world}/corpus.parquet", "n_ctx=2", "templates=false"]),
    "partial, states, AdamW": ("partial", ["data.augment=none", "train.optimizer=adamw", "train.lr=0.001"]),
    "promptsrc": ("promptsrc", ["depth_text=2", "depth_visual=2"]),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_backbone(folder / "tiny", "vit")
    write_photos(folder / "photos", ["cat", "red_bus"])
    (folder / "photos" / "cat" / "broken.jpg").write_bytes(b"no picture")
    captions, labels = ["a cat", "a red bus", "a cat in a bus", "two cats", "one bus"], [[0], [1], [0, 1], [0], [1]]
    write_corpus(folder / "corpus.parquet", captions, labels, ["cat", "red bus"])
    return folder


SLOW = {"partial, states, AdamW"}


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in RUNS]
)
def run(
    request: pytest.FixtureRequest, world: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, list[str], Path, float]:
    """Method, settings, the folder of a run that nobody disturbed, and how long it took."""
    method, more = RUNS[request.param]
    settings = [
        f"data.dataset={world / 'photos'}",
        f"backbone.name={world / 'tiny'}",
        "backbone.pretrained=none",
        "device=cpu",
        "epochs=4",
        "batch_size=3",
        "lr=0.1",
        "checkpoint_steps=1",
        "log_steps=1",
        *(setting.format(world=world) for setting in more),
    ]
    folder = tmp_path_factory.mktemp("whole")
    assert finish(folder / "warm-up", settings, method) == 0
    started = time.monotonic()
    assert finish(folder / "run", settings, method) == 0
    return method, settings, folder / "run", time.monotonic() - started


def assert_same_run(first: Path, second: Path) -> None:
    assert (first / "prompt.json").read_bytes() == (second / "prompt.json").read_bytes()
    assert (first / "pictures.json").read_bytes() == (second / "pictures.json").read_bytes()
    one, other = load_file(first / "prompt.safetensors"), load_file(second / "prompt.safetensors")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert _measured(first) == _measured(second)
    assert not (second / "cache").exists()


def _measured(folder: Path) -> list[dict[str, float]]:
    return [{k: v for k, v in line.items() if k != "seconds"} for line in read_metrics(folder / "metrics.jsonl")]


def test_killed_at_random_moments_it_ends_bit_identical(
    run: tuple[str, list[str], Path, float], tmp_path: Path
) -> None:
    method, settings, whole, duration = run
    draw = random.Random(1)
    for _ in range(3):
        process = start(tmp_path, settings, method=method)
        time.sleep(draw.uniform(0.0, duration))
        process.kill()
        process.join()
        assert process.exitcode in (-signal.SIGKILL, 0)
    assert finish(tmp_path, settings, method) == 0
    assert_same_run(whole, tmp_path)


@pytest.mark.slow
def test_killed_all_along_the_way_it_ends_bit_identical(
    run: tuple[str, list[str], Path, float], tmp_path: Path
) -> None:
    method, settings, whole, _ = run
    kill_at, exitcode = 0, -signal.SIGKILL
    while exitcode == -signal.SIGKILL:
        folder = tmp_path / str(kill_at)
        process = start(folder, settings, kill_at, method)
        process.join(120)
        exitcode = process.exitcode or 0
        assert finish(folder, settings, method) == 0
        assert_same_run(whole, folder)
        kill_at += 11
    assert kill_at > 30


@pytest.mark.parametrize("run", ["coop, views", "maple"], indirect=True)
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_polite_signal_saves_and_exits_with_its_own_code(
    signum: int, run: tuple[str, list[str], Path, float], tmp_path: Path
) -> None:
    method, settings, whole, _ = run
    process = start(tmp_path, settings, method=method)
    while process.is_alive() and not (tmp_path / "checkpoints" / "last.safetensors").exists():
        time.sleep(0.002)
    assert process.pid is not None
    os.kill(process.pid, signum)
    process.join(120)
    assert process.exitcode == 128 + signum
    assert finish(tmp_path, settings, method) == 0
    assert_same_run(whole, tmp_path)
