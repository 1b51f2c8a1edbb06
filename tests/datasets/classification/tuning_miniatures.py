"""Miniatures of the fine-grained five and of VTAB's tasks in their true formats: few classes, few tiny pictures.

``make_tuning_miniature(name, root)`` fills ``root`` as the sets' authors and the study have it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.io import savemat

from clipprompt.datasets.classification.official._shipped import shipped_names
from clipprompt.datasets.classification.specifications import SPECIFICATIONS
from tests.datasets.classification.miniatures import Picture, draw
from tests.datasets.miniatures import write_lines

CARS = ["AM General Hummer SUV 2000", "Acura RL Sedan 2012", "BMW X6 SUV 2012"]
FINE_GRAINED: Mapping[str, Sequence[str]] = {
    "fgvc-cub": ["Black footed Albatross", "Laysan Albatross", "Sooty Albatross"],
    "fgvc-nabirds": ["Common Eider (Adult male)", "Oak Titmouse", "Dark-eyed Junco (Slate-colored)"],
    "fgvc-flowers": ["pink primrose", "hard-leaved pocket orchid", "canterbury bells"],
    "fgvc-dogs": ["Chihuahua", "Japanese spaniel", "black-and-tan coonhound"],
    "fgvc-cars": ["2000 AM General Hummer SUV", "2012 Acura RL Sedan", "2012 BMW X6 SUV"],
}
"""Class names as a reader gives them."""

_PARTS = ("train", "train", "train", "val", "test", "test")
_BIRDS = (296, 817, 1010)
_DOGS = ("n02085620-Chihuahua", "n02085782-Japanese_spaniel", "n02089078-black-and-tan_coonhound")


def classnames(name: str) -> list[str]:
    """The class names of a miniature as its reader gives them."""
    return list(FINE_GRAINED[name] if name in FINE_GRAINED else shipped_names(name)[:3])


def make_tuning_miniature(name: str, root: Path) -> Path:
    """Draws a miniature: of each of its first 3 classes three pictures in train, one in val, two in test.

    Returns:
        The set's own folder, below ``root``.
    """
    specification = SPECIFICATIONS[name]
    base = root / specification.folder
    pictures = [
        Picture(part, label, number) for label in range(len(classnames(name))) for number, part in enumerate(_PARTS)
    ]
    if name.startswith("vtab-"):
        _make_vtab(base, pictures)
        return base
    numbered: dict[str, dict[str, int]] = {"train": {}, "val": {}, "test": {}}
    for index, picture in enumerate(pictures):
        path, number = _PLACES[name](index, picture)
        numbered[picture.part][path] = number
        draw(base / specification.images / path, picture)
    for part, entries in numbered.items():
        (base / f"{part}.json").write_text(json.dumps(entries))
    _LISTS.get(name, lambda _: None)(base)
    return base


def _make_vtab(base: Path, pictures: Sequence[Picture]) -> None:
    """Lists by part; of what is learnt from in the end there are copies, with a list of their own."""
    files = {"train": "train800", "val": "val200", "test": "test"}
    lines: dict[str, list[str]] = {file: [] for file in (*files.values(), "train800val200")}
    for picture in pictures:
        for file in [files[picture.part], *(["train800val200"] if picture.part != "test" else [])]:
            path = f"images/{file}/{len(lines[file]):06d}.jpg"
            lines[file].append(f"{path} {picture.label}")
            draw(base / path, picture)
    for file, listed in lines.items():
        write_lines(base / f"{file}.txt", listed)


def _of_cub(index: int, picture: Picture) -> tuple[str, int]:
    bird = FINE_GRAINED["fgvc-cub"][picture.label].replace(" ", "_")
    return f"{picture.label + 1:03d}.{bird}/{bird}_{picture.number:04d}_{index}.jpg", picture.label + 1


def _of_nabirds(index: int, picture: Picture) -> tuple[str, int]:
    return f"{_BIRDS[picture.label]:04d}/{index:032x}.jpg", _BIRDS[picture.label]


def _of_flowers(index: int, picture: Picture) -> tuple[str, int]:
    return f"jpg/image_{index + 1:05d}.jpg", picture.label + 1


def _of_dogs(index: int, picture: Picture) -> tuple[str, int]:
    folder = _DOGS[picture.label]
    return f"{folder}/{folder.partition('-')[0]}_{index}.jpg", picture.label


def _of_cars(index: int, picture: Picture) -> tuple[str, int]:
    return f"car_ims/{index + 1:06d}.jpg", picture.label


def _list_birds(base: Path) -> None:
    """The leaves of the tree of birds, and what is above them."""
    names = [f"{number} {name}" for number, name in zip(_BIRDS, FINE_GRAINED["fgvc-nabirds"], strict=True)]
    write_lines(base / "classes.txt", ["0 Birds", "1 Ducks, Geese, and Swans", *names])


def _list_cars(base: Path) -> None:
    names = np.empty((1, len(CARS)), dtype=object)
    names[0, :] = CARS
    savemat(base / "cars_annos.mat", {"class_names": names})


_PLACES: Mapping[str, Callable[[int, Picture], tuple[str, int]]] = {
    "fgvc-cub": _of_cub,
    "fgvc-nabirds": _of_nabirds,
    "fgvc-flowers": _of_flowers,
    "fgvc-dogs": _of_dogs,
    "fgvc-cars": _of_cars,
}
_LISTS: Mapping[str, Callable[[Path], None]] = {"fgvc-nabirds": _list_birds, "fgvc-cars": _list_cars}
