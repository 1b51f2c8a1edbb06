from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from open_clip.transform import image_transform

from clipprompt.backbone import Backbone, ImageTransform
from clipprompt.config import DataConfig, RunConfig, load_config, read_config
from clipprompt.errors import UserError
from clipprompt.evaluation.rows import load_rows
from clipprompt.learners import load_learner
from clipprompt.learners.coop import CoOp
from clipprompt.training import checkpoint
from clipprompt.training._label_checks import is_single_label
from clipprompt.training.data import FeatureData, split_by_class
from clipprompt.training.image_data import ImageData
from clipprompt.training.labelled_images import load_labelled_images
from clipprompt.training.metrics_log import read_metrics
from clipprompt.training.run import run_training
from tests.training._worker import write_photos

CLASSNAMES = ("cat", "dog", "red_bus")
Configure = Callable[..., RunConfig]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos", CLASSNAMES)


@pytest.fixture
def configure(photos: Path, tiny_vit_backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Makes configurations for the tiny backbone and the photos."""
    monkeypatch.setattr(tiny_vit_backbone, "preprocess", ImageTransform(image_transform(64, is_train=False)))
    monkeypatch.setattr("clipprompt.training.run.load_backbone", lambda *_, **__: tiny_vit_backbone)

    def make(*settings: str, method: str = "coop") -> RunConfig:
        small = ["epochs=2", "batch_size=4"] if method != "zero_shot" else []
        depth = ["learner.depth=2"] if method in ("maple", "vpt") else []
        return load_config(method, [f"data.dataset={photos}", *small, *depth, *settings])

    return make


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a run hands to training, which is then cut short."""
    seen: dict[str, Any] = {}

    def record(learner: Any, data: Any, config: Any, **options: Any) -> Any:
        seen.update(data=data, validation=options["validation"])
        raise KeyboardInterrupt

    monkeypatch.setattr("clipprompt.training.run.train", record)
    return seen


def cut_short(config: RunConfig, folder: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_training(config, folder)


def test_a_folder_of_class_folders_is_trained_on(
    configure: Configure, photos: Path, tmp_path: Path, tiny_vit_backbone: Backbone
) -> None:
    said = list[str]()
    result = run_training(configure(), tmp_path / "run", said.append)
    assert result is not None
    assert (result.steps, result.epoch, result.skipped) == (6, 2, ())
    assert load_learner(tmp_path / "run", tiny_vit_backbone).classnames == CLASSNAMES
    assert "coop: 12 pictures of photos, a fresh view at every step; 3 classes, 2 epochs" in said
    recorded = read_config(tmp_path / "run" / "config.yaml").data
    assert recorded.fingerprint == load_labelled_images(configure()).fingerprint()


@pytest.mark.parametrize(
    ("settings", "kind", "how"),
    [
        ([], ImageData, "a fresh view at every step"),
        (["data.augment=none"], FeatureData, "not augmented, encoded once"),
        (["train.views=3", "train.epochs=3"], FeatureData, "3 random views of each, encoded once"),
        (["train.views=300", "train.epochs=2"], FeatureData, "2 random views of each, encoded once"),
        (["train.views=1", "data.augment=none"], FeatureData, "not augmented, encoded once"),
    ],
)
def test_views_decide_what_is_encoded_once(
    settings: list[str], kind: type, how: str, configure: Configure, tmp_path: Path, taken: dict[str, Any]
) -> None:
    cut_short(configure(*settings), tmp_path / "run")
    assert isinstance(taken["data"], kind)
    assert how in (tmp_path / "run" / "log.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("augment", ["crop_flip", "none"])
def test_prompts_in_the_image_tower_need_the_images(
    augment: str, configure: Configure, tmp_path: Path, taken: dict[str, Any]
) -> None:
    cut_short(configure(f"data.augment={augment}", "train.select=val", method="maple"), tmp_path / "run")
    assert isinstance(taken["data"], ImageData)
    assert taken["data"].augment == (augment == "crop_flip")
    assert isinstance(taken["validation"], ImageData)
    assert not taken["validation"].augment


def test_encoded_views_of_all_epochs_teach_what_fresh_views_do(configure: Configure, tmp_path: Path) -> None:
    for name, views in (("fresh", 0), ("cached", 2)):
        run_training(configure(f"train.views={views}", "data.cache_dtype=float32", "lr=0.1"), tmp_path / name)
    fresh, cached = (read_metrics(tmp_path / name / "metrics.jsonl") for name in ("fresh", "cached"))
    assert [line["loss"] for line in cached] == pytest.approx([line["loss"] for line in fresh], rel=1e-5)
    assert not (tmp_path / "cached" / "cache").exists()


def test_what_cannot_be_read_is_named_left_out_and_remembered(
    configure: Configure, photos: Path, tmp_path: Path, taken: dict[str, Any]
) -> None:
    whole = (photos / "cat" / "1.jpg").read_bytes()
    (photos / "cat" / "1.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "dog" / "z.png").write_bytes(b"")
    said = list[str]()
    with pytest.raises(KeyboardInterrupt):
        run_training(configure(), tmp_path / "run", said.append)
    lines = [line for line in said if "cannot read image" in line]
    assert [Path(line.split(": ")[0]).name for line in lines] == ["1.jpg", "z.png"]
    assert all(line.endswith("; it is left out") for line in lines)
    assert len(taken["data"]) == 11
    assert 1 not in taken["data"].pictures.samples
    # What was readable then and is not now does not change the run: its bytes are asked for when they are needed.
    (photos / "red_bus" / "0.jpg").write_bytes(b"x" * (photos / "red_bus" / "0.jpg").stat().st_size)
    cut_short(configure(), tmp_path / "run")
    assert len(taken["data"]) == 11
    with pytest.raises(UserError, match=r"0\.jpg: .*, though it was read when the run started"):
        list(taken["data"].batches(0, 1, 11))


def test_a_finished_run_says_what_it_left_out(configure: Configure, photos: Path, tmp_path: Path) -> None:
    (photos / "cat" / "1.jpg").write_bytes(b"<html>")
    result = run_training(configure(), tmp_path / "run")
    assert result is not None
    assert [line.split(": ", 1)[1] for line in result.skipped] == ["it is a web page; it is left out"]
    known = json.loads((tmp_path / "run" / "pictures.json").read_text())
    assert [entry[:2] for entry in known["unreadable"]] == [["train", 1]]


def test_a_set_of_which_nothing_can_be_read_is_an_error(configure: Configure, photos: Path, tmp_path: Path) -> None:
    for path in photos.glob("*/*.jpg"):
        path.write_bytes(b"no picture")
    with pytest.raises(UserError, match="photos: none of its 12 pictures can be read"):
        run_training(configure(), tmp_path / "run")


def test_a_moved_folder_is_the_same_and_a_changed_one_is_not(
    configure: Configure, photos: Path, tmp_path: Path
) -> None:
    run_training(configure(), tmp_path / "run")
    shutil.move(photos, tmp_path / "moved")
    moved = f"data.dataset={tmp_path / 'moved'}"
    assert run_training(configure(moved, "data.workers=0"), tmp_path / "run") is None
    shutil.copy(tmp_path / "moved" / "cat" / "0.jpg", tmp_path / "moved" / "dog" / "9.jpg")
    with pytest.raises(UserError, match=r"data\.fingerprint is .*it was trained on .*photos, as it was then"):
        run_training(configure(moved), tmp_path / "run")


@pytest.mark.parametrize("change", ["size", "label", "name", "fewer"])
def test_the_fingerprint_sees_every_change(change: str, configure: Configure, photos: Path) -> None:
    before = load_labelled_images(configure()).fingerprint()
    first = photos / "cat" / "0.jpg"
    if change == "size":
        first.write_bytes(first.read_bytes() + b"\0")
    elif change == "fewer":
        first.unlink()
    else:
        first.rename(photos / ("dog" if change == "label" else "cat") / "new.jpg")
    assert load_labelled_images(configure()).fingerprint() != before


@pytest.mark.parametrize("method", ["coop", "maple"])
@pytest.mark.parametrize("select", ["val", "val_loss"])
def test_an_epoch_is_selected_on_pictures_of_every_class_that_are_held_out(
    method: str, select: str, configure: Configure, tmp_path: Path, taken: dict[str, Any], photos: Path
) -> None:
    cut_short(configure(f"train.select={select}", "val_fraction=0.25", method=method), tmp_path / "run")
    data, validation = taken["data"], taken["validation"]
    assert (len(data), len(validation)) == (9, 3)
    labels = np.concatenate([labels.numpy() for _, labels in validation.in_order(2)])
    assert labels.sum(axis=0).tolist() == [1, 1, 1]
    if method == "maple":
        assert set(data.pictures.samples).isdisjoint(validation.pictures.samples)


def test_the_split_by_class_depends_on_its_seed_and_leaves_single_pictures_for_training() -> None:
    classes = [0] * 10 + [1] * 20 + [2]
    kept, held = split_by_class(classes, 0.2, 1)
    assert sorted([*kept.tolist(), *held.tolist()]) == list(range(31))
    assert [sum(classes[i] == one for i in held) for one in range(3)] == [2, 4, 0]
    assert held.tolist() == split_by_class(classes, 0.2, 1)[1].tolist() != split_by_class(classes, 0.2, 2)[1].tolist()


def test_another_set_may_select_the_epoch(
    configure: Configure, tmp_path: Path, photos: Path, taken: dict[str, Any]
) -> None:
    for split in ("train", "val"):
        shutil.copytree(photos, tmp_path / "both" / split)
    shutil.rmtree(tmp_path / "both" / "val" / "dog")
    both = tmp_path / "both"
    cut_short(configure(f"data.dataset={both}", f"data.validation={both}:val", "train.select=val"), tmp_path / "run")
    assert (len(taken["data"]), len(taken["validation"])) == (12, 8)
    assert taken["validation"].n_classes == 3


def test_drawn_scenes_are_a_set_of_several_labels(configure: Configure, tmp_path: Path, taken: dict[str, Any]) -> None:
    config = configure("data.dataset=mini", "n_images=20", "train.select=val_map")
    found = load_labelled_images(config)
    assert found.images.name == "mini:train"
    assert not is_single_label(found.images)
    cut_short(config, tmp_path / "run")
    assert len(taken["data"]) + len(taken["validation"]) == len(found.images)


@pytest.mark.parametrize(("keep", "n"), [("false", 2), ("true", 3)])
def test_pictures_without_a_class_are_left_out_unless_wanted(
    keep: str, n: int, configure: Configure, tmp_path: Path, photos: Path, taken: dict[str, Any]
) -> None:
    table = photos / "table.csv"
    table.write_text("path,cat,dog\ncat/0.jpg,1,0\ndog/0.jpg,-1,1\nred_bus/0.jpg,0,0\n")
    cut_short(configure(f"data.dataset={table}", f"keep_empty={keep}"), tmp_path / "run")
    assert len(taken["data"]) == n
    labels = np.concatenate([labels.numpy() for _, labels in taken["data"].in_order(2)])
    assert labels[:2].tolist() == [[1, 0], [-1, 1]]


def test_untrained_prompts_take_their_classes_from_images_and_read_none(
    configure: Configure, photos: Path, tmp_path: Path, tiny_vit_backbone: Backbone
) -> None:
    for path in photos.glob("*/*.jpg"):
        path.write_bytes(b"no picture")
    assert run_training(configure(method="zero_shot"), tmp_path / "run") is not None
    assert load_learner(tmp_path / "run", tiny_vit_backbone).classnames == CLASSNAMES


def test_records_say_how_a_prompt_was_learnt(
    configure: Configure, photos: Path, tmp_path: Path, tiny_vit_backbone: Backbone
) -> None:
    run_training(configure("train.views=2", "seed=7", "train.select=val_loss"), tmp_path / "run")
    (row,) = load_rows([str(tmp_path / "run")], tiny_vit_backbone, CLASSNAMES)
    assert row.seed == 7
    assert row.training is not None
    expected = {"data": str(photos), "augment": "crop_flip", "views": 2, "select": "val_loss", "epochs": 2}
    assert expected.items() <= row.training.items()


def test_a_batch_larger_than_the_set_is_the_set(configure: Configure, tmp_path: Path) -> None:
    result = run_training(configure("batch_size=100"), tmp_path / "run")
    assert result is not None
    assert result.steps == 2


MISTAKES = {
    "views where the image tower learns": ("maple", ["train.views=4"], r"train\.views=4 .*maple learns in the image"),
    "views of one kind": ("coop", ["train.views=4", "data.augment=none"], "train.views=4 are all the same with"),
    "views of captions": ("tai_dpt", ["data.dataset=none", "train.views=4"], "views=4 has no use with tai_dpt"),
    "captions beside images": (
        "coop",
        ["data.dataset=mini", "data.corpus=mini"],
        "coop learns from images, but mini holds captions: leave out --captions",
    ),
    "captions for images": ("coop", ["data.corpus=x.parquet"], "coop learns from images, but x.parquet holds captions"),
    "nothing": ("coop", ["data.dataset=none"], "no training data: give --dataset DATA"),
    "validation without selection": ("coop", ["data.validation=mini:val"], "no use with train.select=last; add --sel"),
    "validation on test": ("coop", ["data.validation=mini:test", "train.select=val"], "'mini:test' is a test split"),
    "training on test": ("coop", ["data.dataset=mini:test"], "'mini:test' is a test split, and nothing is learnt"),
    "other classes": ("coop", ["data.validation=mini:val", "train.select=val"], "mini:val has no labels for class 're"),
    "root of no named set": ("coop", ["data.root=x"], "--root x has no use with .*photos'; it goes with voc2007"),
    "pictures elsewhere": ("coop", ["data.images=x"], "--images x has no use with .*photos"),
    "no root": ("coop", ["data.dataset=voc2007"], "voc2007:trainval needs --root"),
    "missing folder": ("coop", ["data.dataset=/nowhere/x"], "the image folder /nowhere/x does not exist"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_before_anything_is_trained(mistake: str, configure: Configure, tmp_path: Path) -> None:
    method, settings, message = MISTAKES[mistake]
    with pytest.raises(UserError, match=message) as raised:
        run_training(configure(*settings, method=method), tmp_path / "run")
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.glob("run/prompt.*"))


def test_images_for_a_method_of_captions_alone_are_refused(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clipprompt.learners.tai_dpt.TaIDPT.trains_on_both", False)
    with pytest.raises(UserError, match=r"tai_dpt learns from captions, not from .*photos: give --dataset corpus"):
        run_training(configure(method="tai_dpt"), tmp_path / "run")


def test_one_class_alone_is_refused(configure: Configure, photos: Path, tmp_path: Path) -> None:
    shutil.rmtree(photos / "dog")
    shutil.rmtree(photos / "red_bus")
    with pytest.raises(UserError, match=r"every picture has every class \(cat\), so there is nothing to tell apart"):
        run_training(configure(), tmp_path / "run")


@pytest.mark.parametrize("spec", ["{}/photos", "folder:{}/photos", "{}/photos/half.csv"])
def test_pictures_that_are_trained_on_select_nothing(
    spec: str, configure: Configure, photos: Path, tmp_path: Path
) -> None:
    (photos / "half.csv").write_text("path,cat,dog,red_bus\ncat/0.jpg,1,0,0\ndog/0.jpg,0,1,0\n")
    config = configure(f"data.validation={spec.format(tmp_path)}", "train.select=val")
    with pytest.raises(UserError, match=r"(12|2) pictures of data\.validation=.* are trained on; name other ones"):
        run_training(config, tmp_path / "run")


def test_classes_without_a_picture_are_named(configure: Configure, photos: Path) -> None:
    names = [f"kind {number}" for number in range(8)]
    (photos / "wide.csv").write_text(f"path,cat,{','.join(names)}\ncat/0.jpg,1{',0' * 8}\n")
    found = load_labelled_images(configure(f"data.dataset={photos / 'wide.csv'}"))
    assert found.images.notes == ("wide has no picture of kind 0, kind 1, kind 2, kind 3, kind 4 and 3 more",)


def test_selection_needs_pictures_to_hold_out(configure: Configure, tmp_path: Path) -> None:
    write_photos(tmp_path / "few", CLASSNAMES, 1)
    with pytest.raises(UserError, match=r"no picture is left to select an epoch by; give data\.validation=DATA"):
        run_training(configure(f"data.dataset={tmp_path / 'few'}", "train.select=val"), tmp_path / "run")


def test_the_fingerprint_of_scenes_is_that_of_their_numbers() -> None:
    runs = [RunConfig(method="coop", data=DataConfig(dataset="mini:val", n_images=n)) for n in (5, 5, 6)]
    marks = [load_labelled_images(run).fingerprint() for run in runs]
    assert marks[0] == marks[1] != marks[2]


def test_a_learner_that_reads_the_training_set_is_shown_it_plain_before_the_first_step(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = list[Any]()
    monkeypatch.setattr(CoOp, "reads_training_set", True)
    monkeypatch.setattr(CoOp, "take_training_set", lambda _, batches: shown.extend(batches))
    monkeypatch.setattr(CoOp, "loss_from", lambda self, *_: self.ctx.sum() * len(shown))
    seen = list[torch.Tensor]()
    for number, settings in enumerate([["epochs=0"], ["epochs=1"], ["epochs=1", "augment=none"]]):
        shown.clear()
        run_training(configure(*settings, "data.cache_dtype=float32"), tmp_path / str(number))
        labels = torch.cat([labels for _, labels in shown]).argmax(dim=1).tolist()
        assert labels == [number for number in range(len(CLASSNAMES)) for _ in range(4)]
        seen.append(torch.cat([features.global_ for features, _ in shown]))
    for features in seen[1:]:
        torch.testing.assert_close(features, seen[0])


def test_what_was_shown_before_is_shown_again_to_a_run_that_goes_on(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = list[str]()
    monkeypatch.setattr(CoOp, "reads_training_set", True)
    monkeypatch.setattr(CoOp, "take_training_set", lambda _, batches: calls.append(f"{len(list(batches))} batches"))
    restore = checkpoint.restore_checkpoint
    monkeypatch.setattr(
        "clipprompt.training._keeper.restore_checkpoint", lambda *a: (calls.append("restored"), restore(*a))
    )
    monkeypatch.setattr(CoOp, "save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    for _ in range(2):
        cut_short(configure("augment=none"), tmp_path / "run")
    assert calls == ["3 batches", "3 batches", "restored"]
