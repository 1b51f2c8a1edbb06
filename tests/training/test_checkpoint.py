from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from clipprompt.errors import UserError
from clipprompt.learners import Learner
from clipprompt.training.checkpoint import (
    Checkpoint,
    Position,
    load_checkpoint,
    restore_checkpoint,
    save_checkpoint,
    take_checkpoint,
)
from tests.training.conftest import assert_identical, prompts

POSITION = Position(
    run="abc", epoch=2, batch=3, step=11, loss_sum=0.1 + 0.2, seconds=1.5, best_epoch=1, best_score=-1 / 3
)


def sgd(learner: Learner) -> torch.optim.Optimizer:
    return torch.optim.SGD(learner.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)


def adamw(learner: Learner) -> torch.optim.Optimizer:
    return torch.optim.AdamW(learner.parameters(), lr=0.1)


def steps(learner: Learner, optimizer: torch.optim.Optimizer, n: int) -> None:
    for _ in range(n):
        optimizer.zero_grad()
        learner.class_features().square().sum(dim=1).sub(torch.arange(4)).exp().sum().backward()
        optimizer.step()


def test_what_was_saved_is_read_back_bit_by_bit(learner: Learner, tmp_path: Path) -> None:
    optimizer = sgd(learner)
    steps(learner, optimizer, 2)
    best = {name: value + 1 for name, value in prompts(learner).items()}
    save_checkpoint(tmp_path / "last.safetensors", take_checkpoint(POSITION, learner, optimizer, best))
    found = load_checkpoint(tmp_path / "last.safetensors")
    assert found.position == POSITION
    assert_identical(found.prompt, prompts(learner))
    assert_identical(found.best, best)
    assert torch.equal(found.momentum["ctx"], optimizer.state[learner.ctx]["momentum_buffer"])


def test_adamw_is_kept_under_names_of_its_own(learner: Learner, tmp_path: Path) -> None:
    optimizer = adamw(learner)
    steps(learner, optimizer, 2)
    save_checkpoint(tmp_path / "last.safetensors", take_checkpoint(POSITION, learner, optimizer, {}))
    found, state = load_checkpoint(tmp_path / "last.safetensors"), optimizer.state[learner.ctx]
    assert found.momentum == {}
    for group, key in (("mean", "exp_avg"), ("square", "exp_avg_sq"), ("count", "step")):
        assert torch.equal(getattr(found, group)["ctx"], state[key])


@pytest.mark.parametrize("make_optimizer", [sgd, adamw])
def test_a_restored_optimiser_goes_on_with_the_same_numbers(
    make_optimizer: Callable[[Learner], torch.optim.Optimizer], make_learner: Callable[..., Learner], tmp_path: Path
) -> None:
    whole, cut, resumed = make_learner(), make_learner(), make_learner(seed=99)
    optimizer = make_optimizer(whole)
    steps(whole, optimizer, 5)
    optimizer = make_optimizer(cut)
    steps(cut, optimizer, 3)
    save_checkpoint(tmp_path / "last.safetensors", take_checkpoint(POSITION, cut, optimizer, {}))
    optimizer = make_optimizer(resumed)
    restore_checkpoint(load_checkpoint(tmp_path / "last.safetensors"), resumed, optimizer)
    steps(resumed, optimizer, 2)
    assert_identical(prompts(resumed), prompts(whole))


def test_a_parameter_without_gradient_has_no_momentum_and_stays(learner: Learner) -> None:
    optimizer, before = sgd(learner), prompts(learner)
    steps(learner, optimizer, 2)  # class features read the global prompt alone
    taken = take_checkpoint(POSITION, learner, optimizer, {})
    assert set(taken.momentum) <= {"ctx", "ctx_local"}
    assert not torch.equal(before["ctx"], taken.prompt["ctx"])


@pytest.mark.parametrize("content", [b"", b"junk", b"\x80\x04K\x01.", bytes(1000)])
def test_a_damaged_file_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"last\.safetensors is not a readable checkpoint; remove it"):
        load_checkpoint(path)


@pytest.mark.parametrize("keep", [1, 8, 100, -1])
def test_a_cut_off_file_is_named(keep: int, learner: Learner, tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, take_checkpoint(POSITION, learner, sgd(learner), {}))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match="is not a readable checkpoint"):
        load_checkpoint(path)


def test_safetensors_of_others_are_refused(tmp_path: Path) -> None:
    safetensors.torch.save_file({"ctx": torch.zeros(2)}, tmp_path / "theirs.safetensors")
    with pytest.raises(UserError, match="is not a readable checkpoint"):
        load_checkpoint(tmp_path / "theirs.safetensors")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="absent"):
        load_checkpoint(tmp_path / "absent")


def test_a_checkpoint_of_another_shape_is_refused(make_learner: Callable[..., Learner]) -> None:
    other = make_learner(n_ctx=3)
    learner = make_learner()
    with pytest.raises(UserError, match=r"other parameters than this learner \(ctx, ctx_local\)"):
        restore_checkpoint(Checkpoint(POSITION, prompts(other)), learner, sgd(learner))


@pytest.mark.parametrize("failing", ["write", "fsync", "rename"])
def test_a_full_disk_keeps_the_last_checkpoint(
    failing: str, learner: Learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, take_checkpoint(POSITION, learner, sgd(learner), {}))
    before = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    if failing == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(Path, {"write": "write_bytes", "rename": "replace"}[failing], full)
    with pytest.raises(UserError, match=r"cannot write .*: No space left on device"):
        save_checkpoint(path, take_checkpoint(POSITION, learner, sgd(learner), {}))
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
