from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clipprompt.datasets import load_nuswide, nuswide
from clipprompt.errors import UserError
from tests.datasets.miniatures import NUSWIDE, make_nuswide, write_lines


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_nuswide(tmp_path / "NUS-WIDE")


def labels(root: Path, concept: str, split: str = "Test") -> Path:
    return root / "Groundtruth" / "TrainTestLabels" / f"Labels_{concept}_{split}.txt"


def test_lists_with_backslashes_find_their_pictures(root: Path) -> None:
    dataset = load_nuswide(root.parent)
    assert dataset.ids[0] == "actor/0203_2124494382.jpg"
    assert dataset[0].size == (64, 64)
    assert dataset.classnames == tuple(NUSWIDE)
    assert dataset.targets.shape == (4, 81)


@pytest.mark.parametrize(("split", "n_images"), [("train", 3), ("test", 4), ("all", 7)])
def test_note_says_which_split_and_how_many(root: Path, split: str, n_images: int) -> None:
    dataset = load_nuswide(root, split)
    n_labelled = int(dataset.targets.any(axis=1).sum())
    list_name = {"train": "TrainImagelist.txt", "test": "TestImagelist.txt", "all": "Imagelist.txt"}[split]
    counts = f"{n_images} images listed, {n_labelled} of them with a label, {n_images} on disk"
    assert dataset.notes == (f"NUS-WIDE split {split!r} of {list_name}: {counts}",)
    assert dataset.options == {
        "split": split,
        "list": list_name,
        "n_listed": str(n_images),
        "n_labelled": str(n_labelled),
        "n_on_disk": str(n_images),
    }
    assert n_labelled < n_images  # the miniature has images without a label, as the real set


def test_train_and_test_are_the_parts_of_all(root: Path) -> None:
    train, test, both = (load_nuswide(root, split) for split in ("train", "test", "all"))
    assert both.ids == train.ids + test.ids
    assert np.array_equal(both.targets, np.concatenate([train.targets, test.targets]))


def test_columns_follow_the_concept_of_the_file(root: Path) -> None:
    for concept in NUSWIDE:
        write_lines(labels(root, concept), ["0", "1", "0", "0"] if concept == "zebra" else ["0"] * 4)
    targets = load_nuswide(root).targets
    assert targets[:, NUSWIDE.index("zebra")].tolist() == [0, 1, 0, 0]
    assert targets.sum() == 1


@pytest.mark.parametrize("end", ["\n", "\r\n", " \n"])
def test_ends_of_lines_do_not_matter(root: Path, end: str) -> None:
    before = load_nuswide(root)
    for path in (*root.rglob("*Imagelist.txt"), *root.rglob("Labels_*.txt"), root / "ConceptsList" / "Concepts81.txt"):
        write_lines(path, path.read_text().splitlines(), end)
    assert load_nuswide(root).split_hash() == before.split_hash()


def test_pictures_may_lie_in_images_or_elsewhere(root: Path) -> None:
    (root / "Flickr").rename(root / "images")
    assert load_nuswide(root)[0].size == (64, 64)
    (root / "images").rename(root / "pictures")
    assert load_nuswide(root, images=root / "pictures")[0].size == (64, 64)


def test_missing_pictures_can_be_left_out_and_are_counted(root: Path) -> None:
    (root / "Flickr" / "zebra" / "0204_2124494383.jpg").unlink()
    dataset = load_nuswide(root, skip_missing=True)
    assert len(dataset) == 3
    assert dataset.options["missing_images"] == "1"
    assert dataset.options["n_on_disk"] == "3"
    assert "4 images listed" in dataset.notes[-1]


def test_list_of_concepts_is_not_needed(root: Path) -> None:
    shutil.rmtree(root / "ConceptsList")
    assert len(load_nuswide(root)) == 4


def test_slip_of_the_official_files_is_an_unknown_label(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_lines(labels(root, "lake", "Train"), ["0", "-1130179", "1"])
    monkeypatch.setattr(nuswide, "_KNOWN_SLIP", ("Labels_lake_Train.txt", 2, b"-1130179"))
    assert load_nuswide(root, "train").targets[:, NUSWIDE.index("lake")].tolist() == [0, -1, 1]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["0", "1", "0"], r"Labels_lake_Test\.txt has 3 labels where TestImagelist\.txt lists 4 images"),
        (["0", "1", "0", "0", "1"], "has 5 labels where"),
        (["0", "1", "2", "0"], "line 3: label '2' is not 0 or 1"),
        (["0", "1", "-1", "0"], "line 3: label '-1' is not 0 or 1"),
        (["0", "01", "0", "0"], "line 2: label '01' is not 0 or 1"),
        (["0", "-1130179", "0", "0"], "line 2: label '-1130179' is not 0 or 1"),
        (["0", "\xff", "0", "0"], "line 2: label '.*' is not 0 or 1"),
    ],
)
def test_broken_labels_are_named(root: Path, lines: list[str], message: str) -> None:
    write_lines(labels(root, "lake"), lines)
    with pytest.raises(UserError, match=message) as caught:
        load_nuswide(root)
    assert "Labels_lake_Test.txt" in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "line 1: empty"),
        (["actor\\a.jpg", "", "actor\\b.jpg"], "line 2: empty; every line names one image"),
        (["..\\..\\etc\\passwd"], "line 1: .*leads out of the folder"),
        (["C:\\a.jpg"], "line 1: .*leads out of the folder"),
        (["/etc/passwd"], "line 1: .*leads out of the folder"),
        (["actor\\a.jpg", "actor/a.jpg"], r"image actor/a\.jpg is listed twice"),
    ],
)
def test_broken_list_is_named(root: Path, lines: list[str], message: str) -> None:
    write_lines(root / "ImageList" / "TestImagelist.txt", lines)
    with pytest.raises(UserError, match=rf"TestImagelist\.txt.*{message}"):
        load_nuswide(root)


def remove(*parts: str) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        path = root.joinpath(*parts)
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (remove("ImageList"), r"cannot read .*TestImagelist\.txt: No such file"),
        (remove("Groundtruth"), r"cannot read .*Labels_airport_Test\.txt: No such file"),
        (remove("Groundtruth", "TrainTestLabels", "Labels_sun_Test.txt"), r"cannot read .*Labels_sun_Test\.txt"),
        (remove("Flickr"), "no pictures in .*: there is neither Flickr nor images; name their folder with --images"),
        (remove("Flickr", "actor", "0203_2124494382.jpg"), r"TestImagelist\.txt, line 1: image .*0203_2124494382\.jpg"),
        (remove(), "no NUS-WIDE at --root .*: it is not a folder"),
    ],
)
def test_first_missing_thing_is_named(root: Path, spoil: Callable[[Path], None], message: str) -> None:
    spoil(root)
    with pytest.raises(UserError, match=message):
        load_nuswide(root)


def test_folder_of_something_else_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no NUS-WIDE at --root .*: there is no ImageList and no Groundtruth"):
        load_nuswide(tmp_path)


@pytest.mark.parametrize("names", [[*NUSWIDE, "unicorn"], NUSWIDE[1:]])
def test_list_of_other_concepts_is_refused(root: Path, names: list[str]) -> None:
    write_lines(root / "ConceptsList" / "Concepts81.txt", names)
    with pytest.raises(UserError, match=r"Concepts81\.txt: concept '(unicorn|airport)' is not in both"):
        load_nuswide(root)
