from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from clipprompt.datasets import load_class_folders, load_dataset
from clipprompt.datasets.select import training_split
from clipprompt.errors import UserError
from tests.datasets.conftest import save_image

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Writes pictures, and other files, below a folder ``photos``."""

    def write(*names: str) -> Path:
        for name in names:
            path = tmp_path / "photos" / name
            if name.endswith((".jpg", ".JPG", ".png")):
                save_image(path)
            elif name.endswith("/"):
                path.mkdir(parents=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("no picture")
        return tmp_path / "photos"

    return write


def test_sub_folders_are_classes(make: Make) -> None:
    dataset = load_dataset(str(make("red_bus/b.jpg", "cat/z.png", "cat/a.JPG", "red_bus/more/a.jpg")))
    assert (dataset.name, dataset.classnames) == ("photos", ("cat", "red_bus"))
    assert dataset.ids == ("cat/a.JPG", "cat/z.png", "red_bus/b.jpg", "red_bus/more/a.jpg")
    assert dataset.targets.tolist() == [[1, 0], [1, 0], [0, 1], [0, 1]]
    assert dataset[3].size == (12, 8)


def test_what_is_hidden_or_no_picture_is_passed_over(make: Make) -> None:
    folder = make("cat/a.jpg", "cat/notes.txt", "cat/.b.jpg", ".git/c.jpg", "__MACOSX/d.jpg", "cat/.x/e.jpg", "top.jpg")
    assert load_class_folders(folder).ids == ("cat/a.jpg",)


@pytest.mark.parametrize("spelling", ["{}:val", "folder:{}:val", "{}/:val"])
def test_splits_share_the_classes_of_all(spelling: str, make: Make) -> None:
    folder = make("train/cat/a.jpg", "train/dog/b.jpg", "val/dog/c.jpg", "test/emu/d.jpg")
    dataset = load_dataset(spelling.format(folder))
    assert (dataset.name, dataset.options) == ("photos:val", {"split": "val"})
    assert dataset.classnames == ("cat", "dog", "emu")
    assert (dataset.ids, dataset.targets.tolist()) == (("dog/c.jpg",), [[0, 1, 0]])


def test_a_class_may_be_called_train(make: Make) -> None:
    assert load_class_folders(make("train/a.jpg", "bus/b.jpg")).classnames == ("bus", "train")


def test_ids_and_hash_stay_when_the_folder_moves(make: Make, tmp_path: Path) -> None:
    folder = make("cat/a.jpg", "dog/b.jpg")
    before = load_class_folders(folder).split_hash()
    assert load_class_folders(folder.rename(tmp_path / "moved")).split_hash() == before


@pytest.mark.parametrize(
    ("names", "spec", "message"),
    [
        ((), "absent/photos", "the image folder absent/photos does not exist"),
        (("cat/a.jpg",), "{}/cat/a.jpg:val", "is a file, not a folder"),
        (("a.jpg", "b.jpg"), "{}", "holds no sub-folder; give a folder with one sub-folder of pictures per class"),
        (("cat/a.jpg", "dog/"), "{}", "dog holds no picture; put some of this class in, or remove the folder"),
        (("cat/a.jpg", "dog/x.txt"), "{}", "dog holds no picture"),
        (("cat/a.jpg",), "{}:val", "has no split 'val': its sub-folders are classes; leave out :val"),
        (("train/cat/a.jpg", "val/cat/b.jpg"), "{}", "holds splits; choose one of .*photos:train, .*photos:val"),
        (("train/cat/a.jpg", "val/cat/b.jpg"), "{}:test", "has no split 'test'; choose one of"),
        (("Train/cat/a.jpg", "Test/cat/b.jpg"), "{}", "Test looks like a split, not a class; rename it to test"),
        (("red_bus/a.jpg", "Red bus/b.jpg"), "{}", "class 'red bus' is there twice"),
    ],
)
def test_a_wrong_folder_is_one_line(names: tuple[str, ...], spec: str, message: str, make: Make) -> None:
    folder = make(*names)
    with pytest.raises(UserError, match=message):
        load_dataset(spec.format(folder))


def test_pictures_elsewhere_are_refused(make: Make) -> None:
    with pytest.raises(UserError, match=r"--images x has no use with .*photos"):
        load_dataset(str(make("cat/a.jpg")), "x")


@pytest.mark.parametrize(
    ("spec", "meant"),
    [
        ("mini", "mini:train"),
        ("mini:val", "mini:val"),
        ("VOC2007", "voc2007:trainval"),
        ("voc2007:val", "voc2007:val"),
        ("coco2014", "coco2014:train"),
        ("labels.csv", "labels.csv"),
        ("coco:x.json", "coco:x.json"),
    ],
)
def test_training_means_the_training_split(spec: str, meant: str) -> None:
    assert training_split(spec) == meant


def test_training_means_the_training_split_of_a_folder(make: Make) -> None:
    folder = make("train/cat/a.jpg", "test/cat/b.jpg", "plain/cat/c.jpg")
    assert training_split(str(folder)) == f"{folder}:train"
    assert training_split(str(folder / "test")) == str(folder / "test")


@pytest.mark.parametrize("spec", ["mini:test", "voc2007:test", "NUSWIDE:test", "coco2014:val", "{}:test"])
def test_nothing_is_learnt_on_a_test_split(spec: str, make: Make) -> None:
    folder = make("train/cat/a.jpg", "test/cat/b.jpg")
    with pytest.raises(UserError, match="is a test split, and nothing is learnt or selected on one"):
        training_split(spec.format(folder))
