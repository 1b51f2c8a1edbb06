"""Official files that are broken, half there, or another set's: one line each, which names the file and the entry."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from clipprompt.datasets._checks import MissingPicturesError
from clipprompt.datasets.classification.load import settle_pictures
from clipprompt.datasets.classification.named import load_named
from clipprompt.datasets.classification.specifications import FIFTEEN, SPECIFICATIONS
from clipprompt.errors import UserError
from tests.datasets.classification.miniatures import make_miniature

GOLDEN = Path(__file__).parents[2] / "golden"
Break = Callable[[Path], object]


def _write(path: str, text: str) -> Break:
    """Replaces a file's content."""
    return lambda base: (base / path).write_text(text)


def _write_bytes(path: str, content: bytes) -> Break:
    return lambda base: (base / path).write_bytes(content)


def _append(path: str, line: str) -> Break:
    def append(base: Path) -> None:
        with (base / path).open("a") as file:
            file.write(f"{line}\n")

    return append


def _remove(path: str) -> Break:
    return lambda base: shutil.rmtree(base / path) if (base / path).is_dir() else (base / path).unlink()


def _empty(folder: str) -> Break:
    """Leaves a folder without its files."""
    return lambda base: [path.unlink() for path in (base / folder).iterdir()]


def _mat(path: str, **variables: object) -> Break:
    return lambda base: savemat(base / path, variables)


def _cut(path: str) -> Break:
    """Half a file, as a download leaves it that was stopped."""
    return lambda base: (base / path).write_bytes((base / path).read_bytes()[: (base / path).stat().st_size // 2])


def _annotations(**fields: object) -> np.ndarray:
    row = np.empty((1, 1), dtype=[(key, object) for key in fields])
    row[0, 0] = tuple(fields.values())
    return row


def _leave_three_faces(base: Path) -> None:
    for number in range(4, 11):
        (base / "101_ObjectCategories" / "Faces" / f"image_{number:04d}.jpg").unlink()


def _flatten_val(base: Path) -> None:
    """As ImageNet's archive of val unpacks: no folder of classes."""
    val = base / "images" / "val"
    for folder in [path for path in val.iterdir() if path.is_dir()]:
        for picture in folder.iterdir():
            picture.rename(val / picture.name)
        folder.rmdir()


A_PICKLE = pickle.dumps({"annotations": [1, 2, 3], "labels": [1, 2], "padding": "x" * 400})
CARS, FLOWERS = "cars_test_annos_withlabels.mat", "imagelabels.mat"
BROKEN: dict[str, tuple[str, Break, str]] = {
    "class folder without pictures": ("dtd", _empty("images/blotchy"), "images/blotchy holds no picture; put"),
    "no class folders": (
        "eurosat",
        lambda base: [shutil.rmtree(path) for path in (base / "2750").iterdir()],
        "2750 holds no class folders; is the archive unpacked there",
    ),
    "no picture folder": ("food101", _remove("images"), "image folder .*food-101/images does not exist; run: c"),
    "pictures without class folders": (
        "imagenet",
        _flatten_val,
        "images/val holds pictures, but no class folders: sort",
    ),
    "class too small to split": (
        "caltech101",
        _leave_three_faces,
        r"caltech101: class 'face' has too few pictures to split \(3\)",
    ),
    "pets without lists": (
        "oxford_pets",
        _remove("annotations"),
        "cannot read .*annotations/trainval.txt: No such file",
    ),
    "pets with an empty list": (
        "oxford_pets",
        _write("annotations/test.txt", "\n\n"),
        r"annotations/test.txt is empty; fetch",
    ),
    "pets line of another form": (
        "oxford_pets",
        _append("annotations/trainval.txt", "Abyssinian_7 one 1 1"),
        "trainval.txt, line 29: 'Abyssinian_7 one 1 1' is not of the form",
    ),
    "pets picture outside": (
        "oxford_pets",
        _append("annotations/test.txt", "../../../etc/passwd_1 1 1 1"),
        "test.txt, line 13: path '../../../etc/passwd_1.jpg' is not relative",
    ),
    "pets label of two names": (
        "oxford_pets",
        _append("annotations/test.txt", "Pug_1 1 1 1"),
        "label 0 is called both 'abyssinian' and 'pug' in annotations",
    ),
    "pets label without pictures": (
        "oxford_pets",
        _append("annotations/test.txt", "pug_1 9 1 1"),
        "has no picture of label 4",
    ),
    "list that is no text": (
        "oxford_pets",
        _write_bytes("annotations/test.txt", b"Abyssinian_1 1 1 1\n\xff\xfe\n"),
        "test.txt, line 2: not UTF-8",
    ),
    "variant that is unknown": (
        "fgvc_aircraft",
        _append("images_variant_val.txt", "0000001 Concorde"),
        "images_variant_val.txt, line 9: class 'Concorde' is not in variants.txt",
    ),
    "variant that is there twice": (
        "fgvc_aircraft",
        _append("variants.txt", "737-200"),
        "variants.txt, line 5: class '737-200' is there twice",
    ),
    "no list of variants": ("fgvc_aircraft", _remove("variants.txt"), "cannot read .*variants.txt"),
    "scene that is unknown": (
        "sun397",
        _append("Training_01.txt", "/m/moon/sun_x.jpg"),
        "Training_01.txt, line 29: class '/m/moon' is not in ClassName.txt",
    ),
    "action that is unknown": (
        "ucf101",
        _append("ucfTrainTestlist/testlist01.txt", "Sleeping/v_Sleeping_g01_c01.avi"),
        "testlist01.txt, line 13: class 'Sleeping' is not in classInd.txt",
    ),
    "action without a number": (
        "ucf101",
        _append("ucfTrainTestlist/classInd.txt", "YoYo"),
        "classInd.txt, line 5: 'YoYo' is not of the form '1 ApplyEyeMakeup'",
    ),
    "half a .mat file": ("stanford_cars", _cut(CARS), rf"{CARS} is not a whole .mat file \(.*; fetch it again"),
    "an empty .mat file": ("flowers102", _write(FLOWERS, ""), f"{FLOWERS} is not a whole .mat file"),
    "a pickle called .mat": (
        "flowers102",
        _write_bytes(FLOWERS, A_PICKLE),
        rf"{FLOWERS} is not a whole .mat file \(Unknown mat file type",
    ),
    "a web page called .mat": (
        "stanford_cars",
        _write("devkit/cars_meta.mat", "<html>" + "not found " * 90),
        "cars_meta.mat is not a whole .mat file",
    ),
    "a .mat file of MATLAB 7.3": (
        "flowers102",
        _write_bytes(FLOWERS, b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM\x89HDF"),
        "HDF reader for matlab v7.3",
    ),
    "no .mat file": ("stanford_cars", _remove(CARS), f"cannot read .*{CARS}: no such file"),
    "another variable": (
        "flowers102",
        _mat(FLOWERS, setid=np.ones((1, 40))),
        f"{FLOWERS} has no 'labels'; is it the official file",
    ),
    "test annotations without labels": (
        "stanford_cars",
        _mat(CARS, annotations=_annotations(bbox_x1=1, fname="00001.jpg")),
        f"{CARS}: 'annotations' has no field 'class'",
    ),
    "annotations that are no table": (
        "stanford_cars",
        _mat(CARS, annotations=np.ones((1, 3))),
        f"{CARS}: 'annotations' has no field 'class'",
    ),
    "class number too large": (
        "stanford_cars",
        _mat(CARS, annotations=_annotations(**{"class": 5, "fname": "1.jpg"})),
        f"{CARS}, entry 1: '5' is not a class from 1 to 4",
    ),
    "class number zero": (
        "flowers102",
        _mat(FLOWERS, labels=np.array([[1, 0, 2]], dtype=np.uint8)),
        f"{FLOWERS}, picture 2: '0' is not a class from 1 to 4",
    ),
    "class that is no number": (
        "stanford_cars",
        _mat(CARS, annotations=_annotations(**{"class": "car", "fname": "1.jpg"})),
        "entry 1: 'car' is not a class from 1 to 4",
    ),
    "class that is half a number": (
        "flowers102",
        _mat(FLOWERS, labels=np.array([[1.5, np.nan]])),
        "picture 1: '1.5' is not a class",
    ),
    "file name that is no name": (
        "stanford_cars",
        _mat(CARS, annotations=_annotations(**{"class": 1, "fname": 7})),
        "entry 1: 'fname' is not the name of a picture",
    ),
    "file name that leads out": (
        "stanford_cars",
        _mat(CARS, annotations=_annotations(**{"class": 1, "fname": "../../x.jpg"})),
        "path 'cars_test/../../x.jpg' is not relative",
    ),
    "half a JSON file": ("flowers102", _cut("cat_to_name.json"), r"cat_to_name.json: broken JSON \("),
    "JSON of another form": (
        "flowers102",
        _write("cat_to_name.json", '["rose"]'),
        "cat_to_name.json is not of the form",
    ),
    "flower without a name": (
        "flowers102",
        _write("cat_to_name.json", '{"1": "rose", "3": "lily"}'),
        "cat_to_name.json names 2 flowers, but none of number 2",
    ),
    "synset without a name": (
        "imagenet_r",
        _write("classnames.txt", "n01440764 tench\nn01443537 goldfish\nn03773504 missile\n"),
        "classnames.txt has no name for n04008634, a folder of .*imagenet-r",
    ),
    "folder that is no synset": (
        "imagenet_sketch",
        lambda base: (base / "images" / "sketch").mkdir(),
        "classnames.txt has no name for sketch",
    ),
    "line that is no synset": (
        "imagenet",
        _append("classnames.txt", "goldfish"),
        "classnames.txt, line 5: 'goldfish' is not of the form 'n01440764 tench'",
    ),
    "synset that is there twice": (
        "imagenet",
        _append("classnames.txt", "n01440764 tench"),
        "line 5: n01440764 is there twice",
    ),
    "more names than numbered folders": (
        "imagenet_v2",
        _append("classnames.txt", "n09999999 thing"),
        "format-val has 4 folders where .*classnames.txt has 5 names; it must have the folders 0 to 4",
    ),
    "numbered folder that is missing": (
        "imagenet_v2",
        _remove("imagenetv2-matched-frequency-format-val/2"),
        "has 3 folders where",
    ),
    "train of other classes": (
        "imagenet",
        _remove("images/train/n01443537"),
        "train and val do not have the same folders: n01443537 is in one alone",
    ),
}


@pytest.mark.parametrize(("name", "spoil", "message"), BROKEN.values(), ids=BROKEN)
def test_broken_official_files_get_one_line(tmp_path: Path, name: str, spoil: Break, message: str) -> None:
    make_miniature(name, tmp_path, split_file=False)
    load_named(SPECIFICATIONS[name], tmp_path)  # whole before
    spoil(tmp_path / SPECIFICATIONS[name].folder)
    with pytest.raises(UserError, match=message) as error:
        load_named(SPECIFICATIONS[name], tmp_path)
    assert "\n" not in str(error.value)
    step = "https://image-net.org" if name == "imagenet" else f"run: clipprompt data download {name} --root {tmp_path}"
    assert step in str(error.value)


def _give_the_split_file_of(giver: str, taker: str, root: Path) -> None:
    """Puts one set's split file where the other's would be."""
    ours, theirs = SPECIFICATIONS[giver], SPECIFICATIONS[taker]
    shutil.copy(root / ours.folder / ours.split_file, root / theirs.folder / theirs.split_file)


@pytest.mark.parametrize("taker", ["eurosat", "stanford_cars", "oxford_pets"])
def test_another_sets_split_file_is_told_by_its_pictures(tmp_path: Path, taker: str) -> None:
    for name in ("caltech101", taker):
        make_miniature(name, tmp_path)
    _give_the_split_file_of("caltech101", taker, tmp_path)
    with pytest.raises(UserError, match="it seems to be the split file of Caltech101") as error:
        load_named(SPECIFICATIONS[taker], tmp_path)
    assert "Faces/image_0001.jpg is not in" in str(error.value)


def test_another_sets_split_file_is_told_by_its_numbers(tmp_path: Path) -> None:
    """Where no picture of either is there."""
    (tmp_path / "dtd").mkdir()
    path = tmp_path / "dtd" / SPECIFICATIONS["dtd"].split_file
    shutil.copy(GOLDEN / SPECIFICATIONS["caltech101"].split_file, path)
    with pytest.raises(UserError, match=f"{path} is that of Caltech101, by its numbers of classes and pictures"):
        load_named(SPECIFICATIONS["dtd"], tmp_path)


@pytest.mark.parametrize("name", ["food101", "stanford_cars"])
def test_a_split_file_without_one_picture_of_its_set_is_refused(tmp_path: Path, name: str) -> None:
    specification = SPECIFICATIONS[name]
    base = make_miniature(name, tmp_path) / specification.folder
    content = json.loads((base / specification.split_file).read_text())
    moved = {part: [[f"x/{path}", *rest] for path, *rest in entries] for part, entries in content.items()}
    (base / specification.split_file).write_text(json.dumps(moved))
    with pytest.raises(MissingPicturesError, match="nor is one of any other class; is it the split file of this set"):
        load_named(specification, tmp_path)
    with pytest.raises(MissingPicturesError, match=r"unpacked\? or is --images the right folder\?$"):
        load_named(specification, tmp_path, images=base / specification.images)


@pytest.mark.parametrize("name", ["food101", "stanford_cars"])
def test_a_split_file_alone_can_be_drawn_from(tmp_path: Path, name: str) -> None:
    specification = SPECIFICATIONS[name]
    base = make_miniature(name, tmp_path / "whole") / specification.folder
    (tmp_path / specification.folder).mkdir()
    shutil.copy(base / specification.split_file, tmp_path / specification.folder)
    assert load_named(specification, tmp_path).parts == load_named(specification, tmp_path / "whole").parts


@pytest.mark.parametrize(
    ("content", "message"), [("{", "broken JSON"), ('{"train": [["a.jpg", 0]]}', "train, entry 1")]
)
def test_a_broken_split_file_is_not_passed_over(tmp_path: Path, content: str, message: str) -> None:
    make_miniature("dtd", tmp_path)
    (tmp_path / "dtd" / SPECIFICATIONS["dtd"].split_file).write_text(content)
    with pytest.raises(UserError, match=rf"{message}.*; run: clipprompt data download dtd --root"):
        load_named(SPECIFICATIONS["dtd"], tmp_path)


@pytest.mark.parametrize("name", FIFTEEN)
def test_a_listed_picture_that_is_missing_is_named(tmp_path: Path, name: str) -> None:
    """Half a download: the lists are whole, the pictures are not."""
    make_miniature(name, tmp_path)
    found = load_named(SPECIFICATIONS[name], tmp_path)
    gone = found.item(found.part("test")[1])
    gone.unlink()
    images = found.images(name, found.part("test"), found.classnames)
    with pytest.raises(MissingPicturesError, match=f"image {gone} does not exist"):
        settle_pictures(images, found, "test", tmp_path, skip_missing=False)
    assert len(settle_pictures(images, found, "test", tmp_path, skip_missing=True)) == len(images) - 1


def test_half_the_classes_are_noted(tmp_path: Path) -> None:
    make_miniature("eurosat", tmp_path, n_classes=8, split_file=False)
    shutil.rmtree(tmp_path / "eurosat" / "2750" / "River")
    found = load_named(SPECIFICATIONS["eurosat"], tmp_path)
    assert "of 7 classes where the official set has 13,500/5,400/8,100 of 10" in found.notes[-1]
