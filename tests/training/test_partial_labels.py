"""Runs that know a part of the labels of pictures with several classes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from clipprompt.config import RunConfig, load_config, read_config
from clipprompt.datasets.partial.label_file import apply_labels, write_labels
from clipprompt.datasets.partial.learnt import learnt_labels
from clipprompt.datasets.scenes import load_scenes
from clipprompt.errors import UserError
from clipprompt.training.labelled_images import LabelledImages, held_out_images, load_labelled_images
from clipprompt.training.run import check_request, load_source, run_training
from tests.training._worker import write_photos

SELECT = "train.select=val_map"
N_SCENES = 40


def configure(*settings: str, dataset: str = "mini", method: str = "dualcoop") -> RunConfig:
    return load_config(method, [f"data.dataset={dataset}", f"n_images={N_SCENES}", *settings])


def load(*settings: str, dataset: str = "mini", method: str = "dualcoop") -> LabelledImages:
    return load_labelled_images(configure(*settings, dataset=dataset, method=method))


@pytest.fixture
def small(tmp_path: Path) -> list[str]:
    return ["device=cpu", "epochs=2", "batch_size=8", "n_ctx=2", "class_specific=false", "augment=none"]


@pytest.mark.parametrize(
    "settings",
    [
        {"known": 0.1},
        {"known": "single-positive"},
        {"shots": 2},
        {"shots": 2, "known": 0.5},
        {"subset": "base"},
        {"subset": "novel", "class_split": 3, "known": 0.3},
    ],
    ids=str,
)
def test_a_run_sees_what_its_settings_and_its_seed_draw(settings: dict[str, object]) -> None:
    found = load(*(f"data.{key}={value}" for key, value in settings.items()), "seed=3", SELECT)
    expected = learnt_labels(load_scenes("train", N_SCENES), seed=3, **settings)  # type: ignore[arg-type]
    assert found.images.ids == expected.train.ids
    assert found.classnames == expected.train.classnames
    assert np.array_equal(found.images.targets, expected.train.targets)
    assert (found.validation is None) == (expected.val is None)
    if found.validation is not None and expected.val is not None:
        assert np.array_equal(found.validation.targets, expected.val.targets)


def test_without_selection_nothing_is_drawn_to_select_by() -> None:
    assert load("shots=2").validation is None
    assert load("shots=2").images.ids == load("shots=2", SELECT).images.ids


def test_every_key_of_known_labels_changes_the_fingerprint() -> None:
    runs = [["known=0.2"], ["known=0.4"], ["known=single-positive"], ["known=0.2", "seed=2"], ["known=0.2", "shots=3"]]
    assert len({load(*settings).fingerprint() for settings in [*runs, []]}) == 6


def test_a_line_of_a_table_that_knows_nothing_is_left_out(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", ["cat"])
    table = tmp_path / "photos" / "known.jsonl"
    lines = ['{"path": "cat/0.jpg", "present": ["cat"], "absent": ["dog"]}', '{"path": "cat/1.jpg", "present": []}']
    table.write_text("\n".join(lines))
    found = load(dataset=str(table))
    assert found.images.ids == ("cat/0.jpg",)
    assert "known: 1 of 2 pictures have no known label and are left out" in found.images.notes


def test_pictures_of_which_a_method_learns_nothing_are_left_out_after_the_draw() -> None:
    kept, dropped = load("known=0.3"), load("known=0.3", method="coop")
    assert (kept.images.targets >= 0).any(axis=1).all()
    present = (kept.images.targets == 1).any(axis=1)
    assert np.array_equal(kept.images.targets[present], dropped.images.targets)
    assert not present.all()


def test_classes_that_are_never_known_to_be_present_are_told() -> None:
    assert any("mini:train has no picture known to be of " in note for note in load("known=0.05").images.notes)


def test_the_labels_that_were_known_are_written_and_teach_the_same(tmp_path: Path, small: list[str]) -> None:
    run_training(configure("known=0.5", *small), tmp_path / "drawn")
    written = tmp_path / "drawn" / "labels.jsonl"
    scenes, seen = load_scenes("train", N_SCENES), load("known=0.5").images
    known = {name: labels.tolist() for name, labels in zip(seen.ids, seen.targets, strict=True)}
    read = apply_labels(scenes, written)
    assert {n: row.tolist() for n, row in zip(read.ids, read.targets, strict=True) if (row >= 0).any()} == known
    assert load(f"data.labels={written}").fingerprint() == load("known=0.5").fingerprint()
    run_training(configure(f"data.labels={written}", *small), tmp_path / "given")
    files = [tmp_path / name / "prompt.safetensors" for name in ("drawn", "given")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_run_that_knows_every_label_writes_none(tmp_path: Path, small: list[str]) -> None:
    run_training(configure(*small, "epochs=1"), tmp_path / "run")
    assert not (tmp_path / "run" / "labels.jsonl").exists()


@pytest.mark.parametrize("settings", [["known=0.4"], ["shots=2"], ["data.validation=mini:val", "known=0.4"]], ids=str)
def test_held_out_pictures_are_those_that_select(settings: list[str], tmp_path: Path, small: list[str]) -> None:
    run_training(configure(*settings, *small, SELECT), tmp_path / "run")
    held = held_out_images(read_config(tmp_path / "run" / "config.yaml"))
    found = load(*settings, SELECT)
    (kept, _), (numbers, of) = found.split(configure(*settings, SELECT))
    assert held is not None
    assert set(held.ids).isdisjoint(found.images.subset(kept.tolist()).ids)
    source = found.images if of == "train" else found.validation
    assert source is not None
    assert np.array_equal(held.targets, source.targets[numbers])
    assert held.classnames == found.classnames


@pytest.mark.parametrize("settings", [["train.select=last"], [SELECT, "epochs=0"], ["data.dataset=none"]], ids=str)
def test_a_run_that_selects_nothing_holds_nothing_out(settings: list[str]) -> None:
    assert held_out_images(configure(*settings)) is None


def test_held_out_pictures_that_have_changed_are_told() -> None:
    with pytest.raises(UserError, match="mini is not what was learnt from: its pictures or labels have changed since"):
        held_out_images(configure(SELECT, "data.fingerprint=0123456789abcdef"))


def test_the_file_of_labels_that_have_changed_is_named(tmp_path: Path) -> None:
    file = tmp_path / "known.jsonl"
    write_labels(load("known=0.5").images, file)
    with pytest.raises(UserError, match=re.escape(f"mini with the labels of {file} is not what was learnt from")):
        held_out_images(configure(SELECT, f"labels={file}", "data.fingerprint=0123456789abcdef"))


def test_a_table_of_several_labels_is_drawn_as_such(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", ["cat", "dog"], 4)
    rows = [f"photos/{kind}/{n}.jpg,{kind}{'|red' if n % 2 else ''}" for kind in ("cat", "dog") for n in range(4)]
    table = tmp_path / "table.csv"
    table.write_text("\n".join(["path,labels", *rows, ""]))
    found = load("shots=1", dataset=str(table))
    assert 1 <= len(found) <= 3
    assert found.classnames == ("cat", "dog", "red")


def test_pictures_of_one_class_may_be_known_in_part_to_a_method_that_asks_for_each_class() -> None:
    found = load("shots=4", "known=0.5", dataset="mini-objects")
    whole = load("shots=4", dataset="mini-objects").images
    unknown = found.images.targets == -1
    assert 0.4 < unknown.mean() < 0.6
    rows = [whole.ids.index(name) for name in found.images.ids]
    assert np.array_equal(found.images.targets[~unknown], whole.targets[rows][~unknown])


@pytest.mark.parametrize(
    "settings",
    [["known=single-positive"], ["known=0.01", "val_fraction=0.05"], ["known=0.02", "select=val_loss"]],
    ids=str,
)
def test_held_out_labels_that_rank_nothing_select_no_epoch(
    settings: list[str], tmp_path: Path, small: list[str]
) -> None:
    with pytest.raises(UserError, match="no class is known to be in one and not in another, so they select no epoch"):
        run_training(configure(SELECT, *settings, *small), tmp_path / "run")


def test_pictures_of_other_classes_select_nothing() -> None:
    found = load("subset=base", SELECT, "data.validation=mini:val")
    assert found.validation is not None
    assert (found.validation.targets == 1).any(axis=1).all()
    assert found.validation.classnames == found.classnames


MISTAKES = {
    "share above 1": (["known=1.5"], "data.known"),
    "no share": (["known=some"], "data.known"),
    "labels are missing": (["data.labels=/nowhere/x.jsonl"], "/nowhere/x.jsonl"),
    "one class by softmax": (["known=0.5", "data.dataset=mini-objects"], "coop learns which one class a picture has"),
    "nothing absent": (["known=single-positive"], "no class is known to be absent from a picture, and coop learns by"),
    "no shots": (["shots=0"], "data.shots"),
    "split of all": (["class_split=2"], "data.class_split=2 has no use with all classes"),
    "of captions": (["known=0.5", "data.dataset=none", "data.corpus=x.parquet"], "x.parquet"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_request_is_one_line(mistake: str) -> None:
    settings, message = MISTAKES[mistake]

    def ask() -> None:
        check_request(config := configure(*settings, method="coop"))
        load_source(config)

    with pytest.raises(UserError, match=message) as raised:
        ask()
    assert "\n" not in str(raised.value)
