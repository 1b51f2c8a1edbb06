"""Multi-label runs and the ensembles of them: what they leave, what is asked for later, and failures."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from clipprompt.config import read_config
from clipprompt.errors import UserError
from clipprompt.evaluation.records import read_records
from clipprompt.features.images import encode_images
from clipprompt.sweep.engines import load_engine
from clipprompt.sweep.queue import Queue
from clipprompt.sweep.request import Request
from clipprompt.sweep.sweep import prepare, run_sweep
from clipprompt.training.labelled_images import held_out_images
from tests.sweep.conftest import numbers
from tests.sweep.several import request_several, write_several

THREE = ("zero_shot", "dualcoop", "dualcoop+tai_dpt")


@pytest.fixture(scope="module")
def several(world: Path) -> Path:
    """The small world with ``several.csv`` and ``captions.parquet`` in it."""
    write_several(world)
    return world


def sweep(request: Request, folder: Path, **how: Any) -> Queue:
    full, tasks = prepare(request, folder, run_settings=["backbone.device=cpu"], cache=folder.parent / "cache", **how)
    return run_sweep(full, tasks, folder, load_engine("local"))


def states(queue: Queue) -> dict[str, str]:
    return {entry.task.job.name: entry.state for entry in queue.entries}


@pytest.fixture(scope="module")
def whole(several: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of two shares, left alone; runs are found in ``sweep``."""
    torch.set_num_threads(1)  # as those that it is compared with
    folder = tmp_path_factory.mktemp("whole")
    queue = sweep(request_several(several, *THREE, known=(0.5, 0.9)), folder / "sweep")
    assert set(states(queue).values()) == {"done"}, [entry.message for entry in queue.entries]
    return folder


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Images of each pass of the tower."""
    seen = list[int]()

    def count(backbone: Any, images: torch.Tensor, wanted: Any) -> Any:
        seen.append(len(images))
        return encode_images(backbone, images, wanted)

    for module in ("features.layouts", "evaluation.scoring"):
        monkeypatch.setattr(f"clipprompt.{module}.encode_images", count)
    return seen


def test_captions_are_learnt_from_once_whatever_is_known_of_pictures(whole: Path) -> None:
    runs = sorted(str(path.parent.relative_to(whole / "sweep")) for path in whole.rglob("results.jsonl"))
    assert runs == [
        "dualcoop+tai_dpt/several/all-known0.5-seed1",
        "dualcoop+tai_dpt/several/all-known0.9-seed1",
        "dualcoop/several/all-known0.5-seed1",
        "dualcoop/several/all-known0.9-seed1",
        "tai_dpt/several/all-seed1",
        "zero_shot/several/all",
    ]


def test_an_ensemble_leaves_records_and_no_prompt(whole: Path) -> None:
    folder = whole / "sweep" / "dualcoop+tai_dpt" / "several" / "all-known0.5-seed1"
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert names == {"job.json", "log.txt", "results.jsonl"}
    (record,) = read_records(folder / "results.jsonl")
    assert record["members"] == ["dualcoop", "tai_dpt"]
    assert sum(record["weights"]) == pytest.approx(1)
    assert "pictures that dualcoop held out" in record["weights_by"]
    assert str(whole) not in str(record)  # so that it is the same wherever its folder is
    assert record["setting"] == "inductive"


def test_a_finished_sweep_does_nothing_again(several: Path, whole: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*.json*")}
    _, tasks = prepare(request_several(several, *THREE, known=(0.5, 0.9)), whole / "sweep")
    assert all(task.is_done for task in tasks)
    sweep(request_several(several, *THREE, known=(0.5, 0.9)), whole / "sweep")
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*.json*")} == before


def test_methods_and_shares_that_come_later_end_like_those_asked_for_at_once(
    several: Path, whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "sweep"
    for methods, known in ((("dualcoop",), 0.9), (THREE, 0.9), (THREE, 0.5)):
        queue = sweep(request_several(several, *methods, known=(known,)), folder)
        assert set(states(queue).values()) == {"done"}
    assert {entry.task.job.spelling for entry in queue.entries if entry.seconds == 0} == {"zero_shot", "tai_dpt"}
    assert numbers(folder) == numbers(whole / "sweep")


def test_runs_of_all_shares_share_the_features_of_pictures_that_are_not_augmented(several: Path, whole: Path) -> None:
    trained = list(whole.rglob("dualcoop/several/*/cache"))
    assert trained == []
    entries = {path.parent.name for path in (whole / "cache").rglob("rows.bin")}
    assert len(entries) == 3, entries  # of the part train, as two methods read it, and of the part test


def test_ensembles_encode_no_picture_whose_features_a_run_has_left(
    several: Path, tmp_path: Path, encoded: list[int]
) -> None:
    members = ("zero_shot", "tai_dpt", "dualcoop")
    queue = sweep(request_several(several, *members, known=(0.5, 0.9)), tmp_path / "sweep")
    held = [held_out_images(read_config(e.task.folder / "config.yaml")) for e in queue.entries if e.task.job.known]
    assert sum(encoded) > 0
    encoded.clear()
    sweep(request_several(several, *members, "dualcoop+zero_shot", known=(0.5, 0.9)), tmp_path / "sweep")
    assert encoded == []
    sweep(request_several(several, *members, "dualcoop+tai_dpt", known=(0.5, 0.9)), tmp_path / "sweep")
    # Of places as prompts of captions read them, which no run had a use for: each picture once for all ensembles.
    assert sum(encoded) == len({item for images in held if images for item in images.items})


def test_weights_are_those_of_pictures_that_are_encoded_anew(
    several: Path, whole: Path, tmp_path: Path, encoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "sweep" / "dualcoop+tai_dpt")
    monkeypatch.setattr("clipprompt.sweep._weights.shared_for", lambda *_: [])
    sweep(request_several(several, *THREE, known=(0.5, 0.9)), tmp_path / "sweep")
    assert sum(encoded) > 0
    assert numbers(tmp_path / "sweep") == numbers(whole / "sweep")


def test_a_member_that_fails_is_named_and_its_ensembles_with_it(several: Path, tmp_path: Path) -> None:
    request = request_several(several, "tai_dpt", "dualcoop+tai_dpt", settings=("dualcoop:n_ctx=999",))
    queue = sweep(request, tmp_path / "sweep")
    assert states(queue) == {
        "tai_dpt/several/all-seed1": "done",
        "dualcoop/several/all-known0.5-seed1": "failed",
        "dualcoop+tai_dpt/several/all-known0.5-seed1": "failed",
    }
    assert queue.entries[-1].message == "lacks its member dualcoop/several/all-known0.5-seed1"
    assert not queue.entries[-1].task.folder.exists()


@pytest.mark.parametrize(
    ("method", "changes", "reason"),
    [
        ("tai_dpt+zero_shot", {}, "no member held pictures out"),
        (
            "caption_dual+dualcoop",
            {"settings": ("dualcoop:train.select=last",)},
            "dualcoop held no picture out",
        ),
    ],
)
def test_members_that_nothing_can_weigh_weigh_the_same_and_that_is_said(
    method: str, changes: dict[str, Any], reason: str, several: Path, tmp_path: Path
) -> None:
    queue = sweep(request_several(several, method, **changes), tmp_path / "sweep")
    assert set(states(queue).values()) == {"done"}, [entry.message for entry in queue.entries]
    (record,) = read_records(queue.entries[-1].task.folder / "results.jsonl")
    assert (record["weights"], record["weights_by"]) == ([0.5, 0.5], f"equal: {reason}")
    assert record["setting"] == "transductive"


def test_weights_are_chosen_by_the_seen_classes_for_unseen_ones(several: Path, tmp_path: Path) -> None:
    queue = sweep(
        request_several(
            several,
            "dualcoop+zero_shot",
            protocol="multilabel-zero-shot",
            known=(),
            settings=("dualcoop:class_specific=false",),
        ),
        tmp_path / "sweep",
    )
    records = read_records(queue.entries[-1].task.folder / "results.jsonl")
    assert [record["tested_subset"] for record in records] == ["novel", "all"]
    assert records[0]["weights"] == records[1]["weights"]
    assert records[0]["weights_by"].startswith("best mAP on pictures that dualcoop held out")


def test_predictions_are_of_learners(several: Path, whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    sweep(request_several(several, "dualcoop+tai_dpt"), tmp_path / "sweep", predictions=True)
    assert {path.parts[-4] for path in tmp_path.rglob("predictions.jsonl")} == {"dualcoop", "tai_dpt"}
    _, tasks = prepare(request_several(several, "dualcoop+tai_dpt"), tmp_path / "sweep", predictions=True)
    assert all(task.is_done for task in tasks)


def test_what_is_missing_of_pictures_is_found_before_anything_is_learnt(several: Path, tmp_path: Path) -> None:
    text = (several / "several.csv").read_text().replace("photos/", "gone/")
    (tmp_path / "several.csv").write_text(text)
    request = request_several(several, "dualcoop")
    broken = Request(**{**vars(request), "datasets": (str(tmp_path / "several.csv"),)})
    with pytest.raises(UserError, match=r"gone/.*jpg"):
        sweep(broken, tmp_path / "sweep")
    assert not (tmp_path / "sweep").exists()
