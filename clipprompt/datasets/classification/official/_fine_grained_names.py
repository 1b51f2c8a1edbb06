"""Class names of the fine-grained five, each from where its authors write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from clipprompt.datasets.classification.official._listed import Place, read_lines
from clipprompt.datasets.classification.official._mat import read_mat
from clipprompt.datasets.classification.official._shipped import shipped_names
from clipprompt.datasets.classification.official.cars_devkit import year_first
from clipprompt.datasets.classification.official.flower_labels import read_flowers
from clipprompt.errors import UserError
from clipprompt.printable import printable


class Named(NamedTuple):
    """The names of a set's classes.

    Attributes:
        names: by the number that the study's files give a class.
        notes: lines for people.
    """

    names: Mapping[int, str]
    notes: tuple[str, ...] = ()


def read_names(place: Place, numbers: Mapping[str, int]) -> Named:
    """The names of the classes of a set.

    Args:
        place: of the set.
        numbers: of the classes, by the paths of all pictures.

    Raises:
        UserError: if a number has no name, or several.
    """
    return _READERS[place.specification.name](place, numbers)


def _from_folders(name_of: Callable[[str], str]) -> Callable[[Place, Mapping[str, int]], Named]:
    """Names from the folders of the pictures, each of which is of one class."""

    def read(place: Place, numbers: Mapping[str, int]) -> Named:
        folders: dict[int, str] = {}
        for path, number in numbers.items():
            folder = Path(path).parent.name
            if folders.setdefault(number, folder) != folder:
                both = f"{printable(folders[number])} and {printable(folder)}"
                raise UserError(f"{place.base}: class {number} has pictures of {both}; are the .json files of one set?")
        return Named({number: name_of(folder).replace("_", " ") for number, folder in folders.items()})

    return read


def _of_nabirds(place: Place, numbers: Mapping[str, int]) -> Named:
    """``classes.txt`` has lines such as ``817 Oak Titmouse``, and folders are its numbers in four digits."""
    path = place.base / "classes.txt"
    birds: dict[str, str] = {}
    for where, line in read_lines(path):
        number, _, name = line.partition(" ")
        if not number.isdecimal() or not name.strip():
            raise UserError(f"{where}: {printable(line[:60])!r} is not of the form '817 Oak Titmouse'")
        birds[number.zfill(4)] = name.strip()

    def name_of(folder: str) -> str:
        if folder not in birds:
            raise UserError(f"{path} has no name for {printable(folder)}, a folder of pictures in the .json files")
        return birds[folder]

    return _from_folders(name_of)(place, numbers)


def _of_flowers(place: Place, numbers: Mapping[str, int]) -> Named:
    """The authors' numbers have no names in their own files; ``cat_to_name.json`` is used where it is there."""
    path = place.base / "cat_to_name.json"
    names = read_flowers(path) if path.is_file() else shipped_names("vtab-flowers102")
    return Named(_by_number(place, numbers, names))


def _of_cars(place: Place, numbers: Mapping[str, int]) -> Named:
    """Either of the authors' lists of names; prompts say the year first."""
    devkits = [place.base / folder / "cars_meta.mat" for folder in ("devkit", "stanford_cars/devkit")]
    for path in (place.base / "cars_annos.mat", *devkits):
        if path.is_file():
            names = [year_first(str(name)) for name in read_mat(path, "class_names")]
            return Named(_by_number(place, numbers, names))
    note = f"{place.specification.name}: neither cars_annos.mat nor devkit/cars_meta.mat is in {printable(place.base)}"
    names = [f"car {number}" for number in range(1, place.specification.n_classes + 1)]
    return Named(_by_number(place, numbers, names), (f"{note}, so classes are called car 1, car 2, …",))


def _by_number(place: Place, numbers: Mapping[str, int], names: list[str]) -> dict[int, str]:
    """Names by number, where numbers count from 0 if one of them is 0, else from 1, as authors do."""
    used = set(numbers.values())
    first = 0 if 0 in used else 1
    if max(used) - first >= len(names):
        raise UserError(
            f"{place.base}: class {max(used)} in the .json files, where {place.specification.title} has "
            f"{len(names)} classes; are they those of this set?"
        )
    return {number: names[number - first] for number in used}


_READERS: Mapping[str, Callable[[Place, Mapping[str, int]], Named]] = {
    "fgvc-cub": _from_folders(lambda folder: folder.partition(".")[2] or folder),
    "fgvc-nabirds": _of_nabirds,
    "fgvc-flowers": _of_flowers,
    "fgvc-dogs": _from_folders(lambda folder: folder.partition("-")[2] or folder),
    "fgvc-cars": _of_cars,
}
