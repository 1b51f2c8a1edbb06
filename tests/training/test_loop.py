from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MethodType
from typing import Any

import pytest
import torch

from clipprompt.config import DataConfig, TrainConfig
from clipprompt.errors import UserError
from clipprompt.learners import ImageFeatures, Learner, create_learner
from clipprompt.stopping import InterruptedRunError, StopRequest
from clipprompt.training.checkpoint import load_checkpoint
from clipprompt.training.data import FeatureData, caption_data, image_data
from clipprompt.training.loop import train
from clipprompt.training.metrics_log import read_metrics
from clipprompt.training.schedule import learning_rate
from tests.training._shared_run import make
from tests.training.conftest import CAPTIONS, CLASSNAMES, CONFIG, LABELS, assert_identical, prompts

N_BATCHES = 2
N_STEPS = CONFIG.epochs * N_BATCHES
ADAMW = CONFIG.model_copy(update={"optimizer": "adamw", "lr": 0.01, "weight_decay": 0.05})


class StopAfter(StopRequest):
    """Asks to stop after some steps, as SIGTERM (15) would."""

    def __init__(self, n_steps: int) -> None:
        self.left = n_steps

    @property
    def signum(self) -> int | None:  # type: ignore[override]
        self.left -= 1
        return 15 if self.left < 0 else None


def intercept(
    learner: Learner, change: Callable[[torch.Tensor, int], torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Passes every loss of a learner, with the number of the call, through a function."""
    original, calls = learner.loss_from, list[int]()

    def loss_from(self: Learner, features: Any, labels: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return change(original(features, labels), len(calls))

    monkeypatch.setattr(learner, "loss_from", MethodType(loss_from, learner))


def losses_of(folder: Path) -> list[float]:
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["loss"] for line in lines]


def test_training_lowers_the_loss(learner: Learner, data: FeatureData) -> None:
    features, labels = data.take(torch.arange(len(data)).numpy())
    before = learner.loss_from(features, labels).item()
    result = train(learner, data, CONFIG.model_copy(update={"epochs": 30}))
    assert learner.loss_from(features, labels).item() < 0.97 * before
    assert (result.steps, result.epoch, len(result.losses)) == (60, 30, 30)


def test_the_loop_is_plain_sgd_with_the_schedule(make_learner: Callable[..., Learner], data: FeatureData) -> None:
    trained, expected = make_learner(), make_learner()
    train(trained, data, CONFIG)
    optimizer = torch.optim.SGD(expected.parameters(), lr=1.0, momentum=0.9, weight_decay=5e-4)
    for epoch in range(CONFIG.epochs):
        optimizer.param_groups[0]["lr"] = learning_rate(epoch, CONFIG)
        for features, labels in data.batches(epoch, CONFIG.seed, CONFIG.batch_size):
            optimizer.zero_grad()
            expected.loss_from(features, labels).backward()
            optimizer.step()
    assert_identical(prompts(trained), prompts(expected))


def test_the_same_seed_gives_the_same_prompts(make_learner: Callable[..., Learner], data: FeatureData) -> None:
    learners = [make_learner() for _ in range(3)]
    for learner, seed in zip(learners, (5, 5, 6), strict=True):
        train(learner, data, CONFIG.model_copy(update={"seed": seed}))
    assert_identical(prompts(learners[0]), prompts(learners[1]))
    assert not torch.equal(learners[0].ctx, learners[2].ctx)


def test_a_parameter_without_gradient_is_left_alone(make_learner: Callable[..., Learner]) -> None:
    learner = make_learner(loss="single_ranking")
    before = prompts(learner)
    train(learner, caption_data(learner, CAPTIONS, LABELS, DataConfig()), CONFIG)
    assert torch.equal(before["ctx_local"], learner.ctx_local)
    assert not torch.equal(before["ctx"], learner.ctx)


def test_the_backbone_gets_no_gradient_and_global_random_state_stays(learner: Learner, data: FeatureData) -> None:
    weights = learner.backbone.fingerprint()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    train(learner, data, CONFIG)
    assert torch.equal(before, torch.get_rng_state())
    assert learner.backbone.fingerprint() == weights
    assert all(p.grad is None for p in learner.backbone.model.parameters())


def test_the_loop_is_plain_adamw_with_the_schedule(make_learner: Callable[..., Learner], data: FeatureData) -> None:
    trained, expected = make_learner(), make_learner()
    train(trained, data, ADAMW)
    optimizer = torch.optim.AdamW(expected.parameters(), lr=1.0, weight_decay=0.05)
    for epoch in range(ADAMW.epochs):
        optimizer.param_groups[0]["lr"] = learning_rate(epoch, ADAMW)
        for features, labels in data.batches(epoch, ADAMW.seed, ADAMW.batch_size):
            optimizer.zero_grad()
            expected.loss_from(features, labels).backward()
            optimizer.step()
    assert_identical(prompts(trained), prompts(expected))


@pytest.mark.parametrize("config", [CONFIG, ADAMW], ids=["sgd", "adamw"])
@pytest.mark.parametrize("n_steps", range(1, N_STEPS))
def test_a_run_stopped_at_any_step_ends_bit_identical(
    n_steps: int, config: TrainConfig, make_learner: Callable[..., Learner], data: FeatureData, tmp_path: Path
) -> None:
    whole, cut, resumed = make_learner(), make_learner(), make_learner(seed=77)
    train(whole, data, config, folder=tmp_path / "whole")
    with pytest.raises(InterruptedRunError, match=f"batch {(n_steps - 1) % N_BATCHES + 1}"):
        train(cut, data, config, folder=tmp_path / "cut", stop=StopAfter(n_steps - 1))
    train(resumed, data, config, folder=tmp_path / "cut")
    assert_identical(prompts(whole), prompts(resumed))
    assert losses_of(tmp_path / "whole") == losses_of(tmp_path / "cut")


@pytest.mark.parametrize("n_steps", [1, 2, 3, 5])
def test_a_run_whose_process_vanished_ends_bit_identical(
    n_steps: int,
    make_learner: Callable[..., Learner],
    data: FeatureData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, cut, resumed = make_learner(), make_learner(), make_learner(seed=77)
    config = CONFIG.model_copy(update={"checkpoint_steps": 1, "log_steps": 1})
    train(whole, data, config, folder=tmp_path / "whole")

    def vanish(loss: torch.Tensor, call: int) -> torch.Tensor:
        if call > n_steps:
            raise SystemExit
        return loss

    intercept(cut, vanish, monkeypatch)
    with pytest.raises(SystemExit):
        train(cut, data, config, folder=tmp_path / "cut")
    assert train(resumed, data, config, folder=tmp_path / "cut").steps == N_STEPS
    assert_identical(prompts(whole), prompts(resumed))


def test_a_finished_run_is_not_trained_again(learner: Learner, data: FeatureData, tmp_path: Path) -> None:
    train(learner, data, CONFIG, folder=tmp_path)
    before = prompts(learner)
    result = train(learner, data, CONFIG, folder=tmp_path)
    assert (result.losses, result.steps) == ([], N_STEPS)
    assert_identical(before, prompts(learner))


def test_a_checkpoint_of_another_run_is_refused(learner: Learner, data: FeatureData, tmp_path: Path) -> None:
    train(learner, data, CONFIG, folder=tmp_path, run="a")
    with pytest.raises(UserError, match="belongs to a run with another configuration"):
        train(learner, data, CONFIG, folder=tmp_path, run="b")


@pytest.mark.parametrize(
    ("options", "expected"),
    [({"checkpoint_steps": 1}, N_STEPS + CONFIG.epochs), ({}, CONFIG.epochs), ({"checkpoint_seconds": 1e-9}, 9)],
)
def test_checkpoints_are_written_as_often_as_asked(
    options: dict[str, float],
    expected: int,
    learner: Learner,
    data: FeatureData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    saved = []
    monkeypatch.setattr(
        "clipprompt.training._keeper.save_checkpoint", lambda path, checkpoint: saved.append(checkpoint)
    )
    train(learner, data, CONFIG.model_copy(update=options), folder=tmp_path)
    assert len(saved) == expected
    assert saved[-1].position.epoch == CONFIG.epochs


def test_no_epochs_leave_the_prompts_as_they_start(learner: Learner, data: FeatureData, tmp_path: Path) -> None:
    before = prompts(learner)
    result = train(learner, data, CONFIG.model_copy(update={"epochs": 0}), folder=tmp_path)
    assert (result.steps, result.epoch) == (0, 0)
    assert_identical(before, prompts(learner))


def test_metrics_have_a_line_per_epoch(learner: Learner, data: FeatureData, tmp_path: Path) -> None:
    result = train(learner, data, CONFIG, folder=tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["epoch"], line["step"]) for line in lines] == [(1, 2), (2, 4), (3, 6)]
    assert [line["loss"] for line in lines] == result.losses
    assert [line["lr"] for line in lines] == [learning_rate(epoch, CONFIG) for epoch in range(3)]


def test_steps_are_logged_when_asked_for(learner: Learner, data: FeatureData, tmp_path: Path) -> None:
    result = train(learner, data, CONFIG.model_copy(update={"log_steps": 1}), folder=tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    losses = [line["step_loss"] for line in lines if "step_loss" in line]
    assert len(losses) == N_STEPS
    assert result.losses[0] == pytest.approx(sum(losses[:2]) / 2)


@pytest.mark.parametrize(("bad_step", "kept"), [(1, False), (2, False), (4, True)])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_non_finite_loss_stops_the_run_and_keeps_the_last_good_checkpoint(
    bad_step: int,
    kept: bool,
    value: float,
    learner: Learner,
    data: FeatureData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    intercept(learner, lambda loss, call: loss * (value if call == bad_step else 1.0), monkeypatch)
    with pytest.raises(UserError) as error:
        train(learner, data, CONFIG, folder=tmp_path)
    epoch, batch = divmod(bad_step - 1, N_BATCHES)
    assert f"the loss is {value} at step {bad_step} (epoch {epoch + 1}, batch {batch + 1})" in str(error.value)
    path = tmp_path / "checkpoints" / "last.safetensors"
    assert (f"the last good checkpoint is {path}" in str(error.value)) == kept == path.exists()
    if kept:
        assert all(tensor.isfinite().all() for tensor in load_checkpoint(path).prompt.values())


def test_a_prompt_that_overflows_stops_the_run_before_it_is_saved(
    learner: Learner, data: FeatureData, tmp_path: Path
) -> None:
    config = CONFIG.model_copy(update={"checkpoint_steps": 1})
    learner.ctx.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(UserError, match=r"not finite after the step at step 1 \(epoch 1, batch 1\): lower train.lr"):
        train(learner, data, config, folder=tmp_path)
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("select", ["val_loss", "val_map"])
def test_the_best_epoch_on_held_out_captions_is_kept(
    select: str, make_learner: Callable[..., Learner], data: FeatureData, tmp_path: Path
) -> None:
    config = TrainConfig.model_validate({**CONFIG.model_dump(), "select": select, "epochs": 4, "lr": 2.0})
    validation = data.subset(torch.tensor([1, 2, 3, 4]).numpy())
    learner = make_learner()
    result = train(learner, data, config, folder=tmp_path, validation=validation)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    scores = [line["val_map"] if select == "val_map" else -line["val_loss"] for line in lines]
    assert result.epoch == scores.index(max(scores)) + 1
    shorter, reference = make_learner(), make_learner()
    train(reference, data, config, validation=validation)
    assert_identical(prompts(learner), prompts(reference))
    with pytest.raises(InterruptedRunError):
        train(shorter, data, config, folder=tmp_path / "cut", validation=validation, stop=StopAfter(5))
    train(shorter, data, config, folder=tmp_path / "cut", validation=validation)
    assert_identical(prompts(learner), prompts(shorter))


def test_a_learner_without_parameters_is_refused(tiny_rn_backbone: Any, data: FeatureData) -> None:
    learner = create_learner("zero_shot", tiny_rn_backbone, CLASSNAMES)
    with pytest.raises(UserError, match="zero_shot has no parameters to train"):
        train(learner, data, CONFIG)


def test_no_data_is_refused(learner: Learner, data: FeatureData) -> None:
    with pytest.raises(UserError, match="nothing to train on"):
        train(learner, data.subset(torch.arange(0).numpy()), CONFIG)


@pytest.mark.parametrize("n_held", [None, 0])
def test_selection_without_validation_data_is_refused(n_held: int | None, learner: Learner, data: FeatureData) -> None:
    held = None if n_held is None else data.subset(torch.arange(n_held).numpy())
    with pytest.raises(UserError, match=r"train\.select=val_map needs samples held out"):
        train(learner, data, CONFIG.model_copy(update={"select": "val_map"}), validation=held)


def test_labelled_images_train_the_same_learner(learner: Learner) -> None:
    images = torch.randn(8, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    features = learner.encode_images(images)
    assert isinstance(features, ImageFeatures)
    data = image_data(learner, features, [[i % 4] for i in range(8)])
    result = train(learner, data, CONFIG.model_copy(update={"epochs": 10, "batch_size": 8}))
    assert result.losses[-1] < result.losses[0]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the compiler looks at what its own warnings forbid
def test_compiled_towers_train_the_same_prompts() -> None:
    config = CONFIG.model_copy(update={"epochs": 2, "lr": 0.01})
    losses = []
    for is_compiled in (False, True):
        learner, images = make("maple", "vit", {"depth": 2})
        result = train(learner, images, config.model_copy(update={"compile": is_compiled}))
        losses.append((result.losses, prompts(learner)))
    (plain, expected), (compiled, found) = losses
    assert compiled == pytest.approx(plain, rel=1e-4)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_a_missing_compiler_is_one_line(learner: Learner, data: FeatureData, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> Any:
        raise RuntimeError("No working C++ compiler found\nin a long text")

    monkeypatch.setattr(torch, "compile", missing)
    with pytest.raises(
        UserError, match=r"^torch\.compile does not work on cpu here \(No working C\+\+ compiler found\)"
    ):
        train(learner, data, CONFIG.model_copy(update={"compile": True}))


@pytest.mark.parametrize(
    ("labels", "score"), [([[0], [1], [2], [3]], "val_accuracy"), ([[0, 1], [1], [2], [3]], "val_map")]
)
def test_selection_by_validation_is_by_accuracy_where_every_sample_has_one_class(
    labels: list[list[int]], score: str, make_learner: Callable[..., Learner], data: FeatureData, tmp_path: Path
) -> None:
    learner = make_learner()
    held = caption_data(learner, CAPTIONS[:4], labels, DataConfig())
    config = TrainConfig.model_validate({**CONFIG.model_dump(), "select": "val", "epochs": 4, "lr": 2.0})
    result = train(learner, data, config, folder=tmp_path, validation=held)
    lines = read_metrics(tmp_path / "metrics.jsonl")
    scores = [line[score] for line in lines]
    assert result.epoch == scores.index(max(scores)) + 1
    assert ("val_accuracy" in lines[0]) == (score == "val_accuracy")


@pytest.mark.parametrize("select", ["last", "val"])
def test_what_a_learner_gathers_ends_the_training_only_where_the_last_epoch_is_kept(
    select: str, learner: Learner, data: FeatureData, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = list[str]()
    monkeypatch.setattr(learner, "end_training", lambda: ended.append("ended"))
    config = TrainConfig.model_validate({**CONFIG.model_dump(), "select": select})
    train(learner, data, config, validation=data.subset(torch.arange(4).numpy()))
    assert ended == (["ended"] if select == "last" else [])


def test_a_thread_that_fails_while_decoding_ends_the_run_with_its_own_error(
    learner: Learner, data: FeatureData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = FeatureData.batches

    def fail() -> None:
        raise UserError("a.jpg cannot be read: the disk is gone")

    def batches(self: FeatureData, epoch: int, *arguments: Any) -> Iterator[Any]:
        with ThreadPoolExecutor(1) as pool:
            for batch in original(self, epoch, *arguments):
                yield batch
                if epoch == 1:
                    pool.submit(fail).result()

    monkeypatch.setattr(FeatureData, "batches", batches)
    with pytest.raises(UserError, match=r"a\.jpg cannot be read"):
        train(learner, data, CONFIG, folder=tmp_path)
    assert load_checkpoint(tmp_path / "checkpoints" / "last.safetensors").position.epoch == 1
