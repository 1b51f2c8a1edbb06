"""Miniatures of the 15 named sets in their true formats: few classes, few tiny pictures, real .mat, .txt and .json.

``make_miniature(name, root)`` fills ``root`` as CoOp's users have it, so that it can be given as ``--root``.
"""

from __future__ import annotations

import colorsys
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from scipy.io import savemat

from clipprompt.datasets.classification.specifications import SPECIFICATIONS
from tests.datasets.miniatures import write_lines

SYNSETS = {
    "n01440764": "tench",
    "n01443537": "goldfish",
    "n03773504": "missile",
    "n04008634": "missile",  # as in CLIP's list and CoOp's file, where two names stand twice
    "n04254680": "soccer ball",
    "n04330267": "stove",
    "n04355933": "sunglasses",
    "n04356056": "sunglasses",
}
# By set: class names as its own files have them, in the order of their labels.
CLASSES: Mapping[str, Sequence[str]] = {
    "caltech101": ["Faces", "Leopards", "Motorbikes", "accordion", "airplanes", "anchor", "ant", "yin_yang"],
    "oxford_pets": ["Abyssinian", "american_bulldog", "Bengal", "Birman", "boxer", "Persian", "pug", "Sphynx"],
    "stanford_cars": [
        "AM General Hummer SUV 2000",
        "Acura RL Sedan 2012",
        "BMW X6 SUV 2012",
        "Dodge Ram Pickup 3500 Crew Cab 2010",
        "Fisker Karma Sedan 2012",
        "Jeep Wrangler SUV 2012",
        "Ram C-V Cargo Van Minivan 2012",
        "smart fortwo Convertible 2012",
    ],
    "flowers102": [
        "pink primrose",
        "hard-leaved pocket orchid",
        "canterbury bells",
        "sweet pea",
        "english marigold",
        "tiger lily",
        "moon orchid",
        "bird of paradise",
    ],
    "food101": ["apple_pie", "baby_back_ribs", "baklava", "beef_carpaccio", "bibimbap", "churros", "ramen", "waffles"],
    "fgvc_aircraft": ["707-320", "727-200", "737-200", "A300B4", "DC-3", "F-16A/B", "Model B200", "Yak-42"],
    "sun397": [
        "/a/abbey",
        "/a/airplane_cabin",
        "/b/bakery/shop",
        "/c/church/indoor",
        "/c/church/outdoor",
        "/l/lake/natural",
        "/s/stable",
        "/y/youth_hostel",
    ],
    "dtd": ["banded", "blotchy", "braided", "bubbly", "bumpy", "dotted", "woven", "zigzagged"],
    "eurosat": ["AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial", "Pasture", "River", "SeaLake"],
    "ucf101": [
        "ApplyEyeMakeup",
        "ApplyLipstick",
        "BabyCrawling",
        "CleanAndJerk",
        "HandstandPushups",
        "TaiChi",
        "WalkingWithDog",
        "YoYo",
    ],
}
# The same classes as a prompt of CoOp's has them; sets that are not here have them as above.
IN_PROMPTS: Mapping[str, Sequence[str]] = {
    "imagenet": [
        "tench",
        "goldfish",
        "missile",
        "missile [n04008634]",
        "soccer ball",
        "stove",
        "sunglasses",
        "sunglasses [n04356056]",
    ],
    "caltech101": ["face", "leopard", "motorbike", "accordion", "airplane", "anchor", "ant", "yin_yang"],
    "oxford_pets": [name.lower() for name in CLASSES["oxford_pets"]],
    "stanford_cars": [
        "2000 AM General Hummer SUV",
        "2012 Acura RL Sedan",
        "2012 BMW X6 SUV",
        "2010 Dodge Ram Pickup 3500 Crew Cab",
        "2012 Fisker Karma Sedan",
        "2012 Jeep Wrangler SUV",
        "2012 Ram C-V Cargo Van Minivan",
        "2012 smart fortwo Convertible",
    ],
    "sun397": [
        "abbey",
        "airplane_cabin",
        "shop bakery",
        "indoor church",
        "outdoor church",
        "natural lake",
        "stable",
        "youth_hostel",
    ],
    "eurosat": [
        "Annual Crop Land",
        "Forest",
        "Herbaceous Vegetation Land",
        "Highway or Road",
        "Industrial Buildings",
        "Pasture Land",
        "River",
        "Sea or Lake",
    ],
    "ucf101": [
        "Apply_Eye_Makeup",
        "Apply_Lipstick",
        "Baby_Crawling",
        "Clean_And_Jerk",
        "Handstand_Pushups",
        "Tai_Chi",
        "Walking_With_Dog",
        "Yo_Yo",
    ],
}


def classnames_of(name: str, n_classes: int = 4) -> list[str]:
    """The class names of a miniature as its reader gives them."""
    key = "imagenet" if name.startswith("imagenet") else name
    return list(IN_PROMPTS.get(key) or CLASSES[key])[:n_classes]


class Picture(NamedTuple):
    """One picture to be made: the part it belongs to, its label, and its number within the class, from 0."""

    part: str
    label: int
    number: int


def make_miniature(name: str, root: Path, n_classes: int = 4, per_class: int = 10, split_file: bool = True) -> Path:
    """Draws a miniature of a named set.

    Args:
        name: of the set.
        root: the folder that will hold the set's folder.
        n_classes: up to 8. Of ImageNet's, the third and the fourth are both called missile.
        per_class: pictures of each, half of them train, a fifth val, the rest test; 4 or more. ImageNet's val belongs
            to its train, and its variants have nothing but test.
        split_file: whether CoOp's split file is there, for sets that have one.

    Returns:
        ``root``.
    """
    specification = SPECIFICATIONS[name]
    base = root / specification.folder
    pictures = list(_pictures(n_classes, per_class))
    listed = _MAKERS.get(name, _make_synsets)(name, base, pictures, n_classes)
    if split_file and specification.split_file:
        names = classnames_of(name, n_classes)
        split: dict[str, list[Any]] = {"train": [], "val": [], "test": []}
        for picture, path in zip(pictures, listed, strict=True):
            split[picture.part].append([path, picture.label, names[picture.label]])
        (base / specification.split_file).write_text(json.dumps(split))
    return root


def _pictures(n_classes: int, per_class: int) -> Iterator[Picture]:
    n_train, n_val = round(per_class * 0.5), round(per_class * 0.2)
    assert n_classes <= len(SYNSETS)
    assert n_val > 0
    assert per_class > n_train + n_val
    for label in range(n_classes):
        for number in range(per_class):
            part = "train" if number < n_train else "val" if number < n_train + n_val else "test"
            yield Picture(part, label, number)


def draw(path: Path, picture: Picture) -> None:
    """Saves a picture whose hue is its class and whose brightness is its number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    hue = colorsys.hsv_to_rgb(picture.label / 8, 0.9, 1 - 0.6 * (picture.number % 17) / 17)
    # The endings of some sets' files are written otherwise than Pillow knows them, so the format is named.
    Image.new("RGB", (16, 16), tuple(round(255 * part) for part in hue)).save(path, format="JPEG", quality=80)


def _make_class_folders(name: str, base: Path, pictures: Sequence[Picture], n_classes: int) -> list[str]:
    """One folder for each class. Caltech101 has two more that do not count; Food101 and DTD have lists beside them."""
    classes, images = CLASSES[name], base / SPECIFICATIONS[name].images
    number = {"caltech101": "image_{1:04d}", "dtd": "{0}_{1:04d}", "eurosat": "{0}_{1}", "food101": "{1}"}[name]
    paths = []
    for picture in pictures:
        folder = classes[picture.label]
        paths.append(f"{folder}/{number.format(folder, picture.number + 1)}.jpg")
        draw(images / paths[-1], picture)
    if name == "caltech101":
        for folder in ("BACKGROUND_Google", "Faces_easy"):
            draw(images / folder / "image_0001.jpg", pictures[0])
        (images / "BACKGROUND_Google" / "tmp").write_text("")  # as in the true set
    if name == "food101":
        meta = {
            part: {
                classes[label]: [
                    path.removesuffix(".jpg")
                    for picture, path in zip(pictures, paths, strict=True)
                    if picture.label == label and (picture.part == "test") == (part == "test")
                ]
                for label in range(n_classes)
            }
            for part in ("train", "test")
        }
        for part, content in meta.items():
            (base / "meta").mkdir(exist_ok=True)
            (base / "meta" / f"{part}.json").write_text(json.dumps(content))
        write_lines(base / "meta" / "classes.txt", list(classes[:n_classes]))
    if name == "dtd":
        for part in ("train", "val", "test"):
            listed = [path for picture, path in zip(pictures, paths, strict=True) if picture.part == part]
            write_lines(base / "labels" / f"{part}1.txt", listed)
        write_lines(base / "labels" / "labels_joint_anno.txt", [f"{path} {path.split('/')[0]} " for path in paths])
    return paths


def _make_pets(name: str, base: Path, pictures: Sequence[Picture], n_classes: int) -> list[str]:
    lines: dict[str, list[str]] = {"trainval": [], "test": []}
    paths = []
    for picture in pictures:
        stem = f"{CLASSES[name][picture.label]}_{picture.number + 1}"
        species = 1 if stem[0].isupper() else 2  # cats are written with a capital
        lines["test" if picture.part == "test" else "trainval"].append(f"{stem} {picture.label + 1} {species} 1")
        paths.append(f"{stem}.jpg")
        draw(base / "images" / paths[-1], picture)
    for part, listed in lines.items():
        write_lines(base / "annotations" / f"{part}.txt", listed)
    return paths


def _make_cars(name: str, base: Path, pictures: Sequence[Picture], n_classes: int) -> list[str]:
    kinds = [(key, object) for key in ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname")]
    paths: list[str] = []
    rows: dict[str, list[tuple[Any, ...]]] = {"train": [], "test": []}
    for picture in pictures:
        part = "test" if picture.part == "test" else "train"
        file = f"{len(rows[part]) + 1:05d}.jpg"
        box = [np.array([[corner]], dtype=np.uint8) for corner in (1, 1, 15, 15)]
        rows[part].append((*box, np.array([[picture.label + 1]], dtype=np.uint8), file))
        paths.append(f"cars_{part}/{file}")
        draw(base / paths[-1], picture)
    (base / "devkit").mkdir(exist_ok=True)
    for path, part in (("devkit/cars_train_annos.mat", "train"), ("cars_test_annos_withlabels.mat", "test")):
        savemat(base / path, {"annotations": np.array([rows[part]], dtype=kinds)})
    names = np.empty((1, n_classes), dtype=object)
    names[0, :] = CLASSES[name][:n_classes]
    savemat(base / "devkit" / "cars_meta.mat", {"class_names": names})
    return paths


def _make_flowers(name: str, base: Path, pictures: Sequence[Picture], n_classes: int) -> list[str]:
    paths = [f"image_{number:05d}.jpg" for number in range(1, len(pictures) + 1)]
    for picture, path in zip(pictures, paths, strict=True):
        draw(base / "jpg" / path, picture)
    labels = np.array([[picture.label + 1 for picture in pictures]], dtype=np.uint8)
    savemat(base / "imagelabels.mat", {"labels": labels})
    names = {str(label): flower for label, flower in enumerate(CLASSES[name][:n_classes], 1)}
    (base / "cat_to_name.json").write_text(json.dumps(dict(sorted(names.items(), reverse=True))))
    return paths


def _make_aircraft(name: str, base: Path, pictures: Sequence[Picture], n_classes: int) -> list[str]:
    lines: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    paths = []
    for index, picture in enumerate(pictures):
        stem = f"{34309 + 1001 * index:07d}"
        lines[picture.part].append(f"{stem} {CLASSES[name][picture.label]}")
        paths.append(f"{stem}.jpg")
        draw(base / "images" / paths[-1], picture)
    for part, listed in lines.items():
        write_lines(base / f"images_variant_{part}.txt", listed)
    write_lines(base / "variants.txt", list(CLASSES[name][:n_classes]))
    return paths


def _make_sun(name: str, base: Path, pictures: Sequence[Picture], n_classes: int) -> list[str]:
    lines: dict[str, list[str]] = {"Training_01": [], "Testing_01": []}
    paths = []
    for picture in pictures:
        path = f"{CLASSES[name][picture.label]}/sun_{picture.number:04x}lxkvz.jpg"
        lines["Testing_01" if picture.part == "test" else "Training_01"].append(path)
        paths.append(path.removeprefix("/"))
        draw(base / "SUN397" / paths[-1], picture)
    for part, listed in lines.items():
        write_lines(base / f"{part}.txt", listed)
    write_lines(base / "ClassName.txt", list(CLASSES[name][:n_classes]))
    return paths


def _make_ucf(name: str, base: Path, pictures: Sequence[Picture], n_classes: int) -> list[str]:
    names = classnames_of(name, n_classes)
    lines: dict[str, list[str]] = {"trainlist01": [], "testlist01": []}
    paths = []
    for picture in pictures:
        action = CLASSES[name][picture.label]
        video = f"{action}/v_{action}_g{picture.number + 1:02d}_c01"
        test = picture.part == "test"
        lines["testlist01" if test else "trainlist01"].append(
            f"{video}.avi" if test else f"{video}.avi {picture.label + 1}"
        )
        paths.append(f"{names[picture.label]}/{video.split('/')[1]}.jpg")
        draw(base / "UCF-101-midframes" / paths[-1], picture)
    for part, listed in lines.items():
        write_lines(base / "ucfTrainTestlist" / f"{part}.txt", listed, end="\r\n")
    indices = [f"{label} {action}" for label, action in enumerate(CLASSES[name][:n_classes], 1)]
    write_lines(base / "ucfTrainTestlist" / "classInd.txt", indices, end="\r\n")
    return paths


def _make_synsets(name: str, base: Path, pictures: Sequence[Picture], n_classes: int) -> list[str]:
    """ImageNet and its variants: folders of synsets (V2: of numbers), and CoOp's classnames.txt."""
    synsets = list(SYNSETS)[:n_classes]
    images = base / SPECIFICATIONS[name].images
    paths = []
    for index, picture in enumerate(pictures):
        synset, part = synsets[picture.label], "val" if picture.part == "test" else "train"
        file = f"{synset}_{index}.JPEG" if part == "train" else f"ILSVRC2012_val_{index + 1:08d}.JPEG"
        folder = {"imagenet": f"{part}/{synset}", "imagenet_v2": str(picture.label)}.get(name, synset)
        paths.append(f"{folder}/{f'{index:040x}.jpeg' if name == 'imagenet_v2' else file}")
        if name == "imagenet" or picture.part == "test":
            draw(images / paths[-1], picture)
    write_lines(base / "classnames.txt", [f"{synset} {SYNSETS[synset]}" for synset in synsets])
    if name in ("imagenet_a", "imagenet_r"):
        write_lines(images / "README.txt", ["200 classes"])
    return paths


_MAKERS: Mapping[str, Callable[[str, Path, Sequence[Picture], int], list[str]]] = {
    "caltech101": _make_class_folders,
    "oxford_pets": _make_pets,
    "stanford_cars": _make_cars,
    "flowers102": _make_flowers,
    "food101": _make_class_folders,
    "fgvc_aircraft": _make_aircraft,
    "sun397": _make_sun,
    "dtd": _make_class_folders,
    "eurosat": _make_class_folders,
    "ucf101": _make_ucf,
}
