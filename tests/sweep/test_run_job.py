"""One job: what it leaves, when it is done, and what becomes of failures."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from clipprompt.errors import UserError
from clipprompt.evaluation.records import read_records
from clipprompt.locks import locked
from clipprompt.stopping import InterruptedRunError, StopRequest
from clipprompt.sweep import run_job as module
from clipprompt.sweep._backbones import Backbones
from clipprompt.sweep.run_job import JOB_LOCK, Outcome, run_job
from clipprompt.sweep.task import Task

Tasks = Callable[..., list[Task]]


def do(task: Task) -> Outcome:
    return run_job(task, Backbones(), StopRequest())


def test_a_job_leaves_its_prompt_and_a_record_of_every_test(tasks_for: Tasks) -> None:
    (task,) = tasks_for()
    assert not task.is_done
    outcome = do(task)
    assert (outcome.state, outcome.message) == ("done", "")
    assert task.is_done
    records = read_records(task.folder / "results.jsonl")
    assert [record["tested_subset"] for record in records] == ["base", "novel"]
    assert {record["training"]["epochs"] for record in records} == {1}
    assert all(record["train_seconds"] > 0 for record in records)
    assert {path.name for path in task.folder.iterdir()} >= {"prompt.safetensors", "log.txt", "job.json", "config.yaml"}
    assert not (task.folder / "predictions.jsonl").exists()


def test_a_method_without_parameters_is_tested_and_nothing_is_trained(tasks_for: Tasks) -> None:
    (task,) = tasks_for(methods=("zero_shot",), seeds=(1, 2))
    assert do(task).state == "done"
    assert not (task.folder / "config.yaml").exists()
    assert [record["train_seconds"] for record in read_records(task.folder / "results.jsonl")] == [None, None]


def test_a_job_that_is_done_is_not_touched(tasks_for: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    (task,) = tasks_for()
    do(task)
    monkeypatch.setattr(module, "run_training", lambda *_, **__: pytest.fail("it is done"))
    monkeypatch.setattr(module, "test_task", lambda *_, **__: pytest.fail("it is done"))
    assert do(task).state == "done"


def test_predictions_that_are_asked_for_later_cost_no_training(tasks_for: Tasks) -> None:
    (task,) = tasks_for()
    do(task)
    before = (task.folder / "prompt.safetensors").stat().st_mtime_ns
    wanted = replace(task, predictions=True)
    assert not wanted.is_done
    do(wanted)
    assert wanted.is_done
    assert (task.folder / "prompt.safetensors").stat().st_mtime_ns == before
    n_images = sum(record["n_images"] for record in read_records(task.folder / "results.jsonl"))
    assert len(read_records(task.folder / "predictions.jsonl")) == n_images


def test_more_tests_of_the_same_run_are_added(tasks_for: Tasks) -> None:
    (task,) = tasks_for()
    base, novel = task.job.tests
    only_base, only_novel = (replace(task, job=replace(task.job, tests=(test,))) for test in (base, novel))
    do(only_base)
    assert only_base.is_done
    assert not only_novel.is_done
    do(only_novel)
    assert [record["tested_subset"] for record in read_records(task.folder / "results.jsonl")] == ["base", "novel"]
    assert only_base.is_done
    assert task.is_done


def test_another_job_in_the_folder_is_one_line(tasks_for: Tasks) -> None:
    (task,) = tasks_for()
    do(task)
    (other,) = tasks_for(settings=("coop:lr=0.5",))
    with pytest.raises(UserError, match=r"holds another run: train\.lr is 0\.002 there and 0\.5 here; choose another"):
        other.check()
    assert do(other).message.endswith("choose another folder with -o")


def test_what_is_done_on_one_device_is_done_for_a_sweep_on_another(tasks_for: Tasks) -> None:
    (task,) = tasks_for()
    assert do(task).state == "done"
    backbone = task.config.backbone.model_copy(update={"device": "cuda:1"})
    elsewhere = replace(task, config=task.config.model_copy(update={"backbone": backbone}))
    elsewhere.check()
    assert elsewhere.is_done


def test_a_job_of_an_earlier_version_had_the_defaults_of_what_it_does_not_say(tasks_for: Tasks) -> None:
    (task,) = tasks_for(methods=("dualcoop",), settings=("train.epochs=1",))
    task.folder.mkdir(parents=True)
    task.describe()
    path = task.folder / "job.json"
    tree = json.loads(path.read_text())
    for key in ("multilabel", "known", "learns_from", "members"):
        del tree["job"][key]
    del tree["settings"]["learner.loss_weight"]
    path.write_text(json.dumps(tree))
    task.check()
    (other,) = tasks_for(methods=("dualcoop",), settings=("train.epochs=1", "dualcoop:loss_weight=0.5"))
    with pytest.raises(UserError, match=r"learner\.loss_weight is 0\.02 there and 0\.5 here"):
        other.check()
    partly = replace(task, job=replace(task.job, known=0.1))
    with pytest.raises(UserError, match=r"known is None there and 0\.1 here"):
        partly.check()


def test_a_damaged_description_is_named(tasks_for: Tasks) -> None:
    (task,) = tasks_for()
    task.folder.mkdir(parents=True)
    (task.folder / "job.json").write_text('{"job": 3}')
    with pytest.raises(UserError, match=r"job\.json is damaged; remove the folder"):
        task.check()


def test_a_job_that_another_process_is_at_is_elsewhere(tasks_for: Tasks) -> None:
    (task,) = tasks_for()
    task.folder.mkdir(parents=True)
    with locked(task.folder, JOB_LOCK):
        outcome = do(task)
    assert outcome.state == "elsewhere"
    assert do(task).state == "done"


def test_a_users_mistake_is_told_in_one_line_and_logged(tasks_for: Tasks) -> None:
    (task,) = tasks_for(methods=("maple",), settings=("maple:learner.depth=9", "train.epochs=1"))
    outcome = do(task)
    assert outcome.state == "failed"
    assert "depth 9 is too large" in outcome.message
    assert f"failed: {outcome.message}" in task.log.read_text()


def test_a_mistake_of_ours_leaves_its_traceback_in_the_log(tasks_for: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    (task,) = tasks_for()
    monkeypatch.setattr(module, "test_task", lambda *_, **__: 1 / 0)
    assert do(task).message == "ZeroDivisionError: division by zero"
    assert "Traceback (most recent call last)" in task.log.read_text()
    monkeypatch.undo()
    assert do(task).state == "done"


def test_a_failure_before_the_run_has_a_folder_does_not_bar_it(
    tasks_for: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    (task,) = tasks_for()
    monkeypatch.setattr("clipprompt.training.run.load_source", lambda *_: 1 / 0)
    assert do(task).state == "failed"
    monkeypatch.undo()
    assert do(task).state == "done"


def test_a_full_disk_is_one_line_and_the_job_goes_on(tasks_for: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    (task,) = tasks_for()
    write = Path.write_text

    def full(path: Path, text: str, *args: object, **kwargs: object) -> int:
        if "results" in path.name:
            raise OSError(28, "No space left on device")
        return write(path, text, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "write_text", full)
    assert do(task).message == f"cannot write {task.folder / 'results.jsonl'}: No space left on device"
    monkeypatch.undo()
    assert do(task).state == "done"


def test_a_disk_that_is_full_of_anything_is_one_line_too(tasks_for: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    (task,) = tasks_for()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "test_task", full)
    assert do(task).message == f"cannot write in {task.folder}: No space left on device"


def test_what_a_killed_process_has_half_written_is_removed(tasks_for: Tasks) -> None:
    (task,) = tasks_for(methods=("zero_shot",))
    task.folder.mkdir(parents=True)
    torn = task.folder / ".results.jsonl.123-0a1b2c3d.part"
    torn.write_text("{")
    assert do(task).state == "done"
    assert not torn.exists()


def test_a_signal_while_testing_ends_at_once_and_leaves_no_results(
    tasks_for: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    (task,) = tasks_for()
    stop = StopRequest()
    stop.signum = 15
    with pytest.raises(InterruptedRunError, match="while testing"):
        run_job(task, Backbones(), stop)
    assert (task.folder / "prompt.json").exists()
    assert not (task.folder / "results.jsonl").exists()


def test_jobs_of_one_backbone_load_it_once(tasks_for: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    from clipprompt.sweep import _backbones

    loaded, load = [], _backbones.load_configured_backbone
    monkeypatch.setattr(_backbones, "load_configured_backbone", lambda config: loaded.append(config) or load(config))
    backbones = Backbones()
    for task in tasks_for(methods=("zero_shot", "coop"), seeds=(1, 2)):
        assert run_job(task, backbones, StopRequest()).state == "done"
    assert len(loaded) == 1


def test_pictures_that_cannot_be_read_are_named(tasks_for: Tasks, world: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(world / "photos", tmp_path / "photos")
    for number in range(10):
        if number % 3 == 0:
            (tmp_path / "photos" / "cat" / f"{number}.jpg").write_bytes(b"no picture")
    (task,) = tasks_for(methods=("zero_shot",), datasets=(str(tmp_path / "photos"),))
    outcome = do(task)
    assert outcome.state == "done"
    assert ".jpg" in outcome.message
    assert outcome.message.startswith("left out: ")


def test_predictions_are_never_older_than_the_results_beside_them(tasks_for: Tasks) -> None:
    (task,) = tasks_for()
    base, novel = (replace(task, job=replace(task.job, tests=(test,))) for test in task.job.tests)
    do(replace(base, predictions=True))
    do(novel)
    told = read_records(task.folder / "predictions.jsonl")
    assert {line["tested_subset"] for line in told} == {"base", "novel"}
    assert replace(task, predictions=True).is_done
