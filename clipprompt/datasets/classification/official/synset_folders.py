"""ImageNet (``train/n01440764``, ``val/n01440764``), and Sketch, A and R (``n01440764``): folders of synsets."""

from __future__ import annotations

from pathlib import Path

from clipprompt.datasets.classification.official._folders import list_folders, list_pictures
from clipprompt.datasets.classification.official._listed import Listed, Place
from clipprompt.datasets.classification.official._synsets import name_of, note_shared_names, read_classnames
from clipprompt.datasets.classification.sets import Sample
from clipprompt.errors import UserError
from clipprompt.printable import printable

FOLDERS = {"train": "train", "test": "val"}
"""Of ImageNet's parts: papers test on the official val."""


def read(place: Place) -> Listed:
    """Only the folders of wanted parts are listed. Labels are the synsets' places in alphabetical order."""
    path, names = read_classnames(place)
    folders = FOLDERS if "train" in place.specification.sizes else {"test": "."}
    wanted = place.parts if len(folders) > 1 else ("test",)
    # What is not wanted, but there, is looked at all the same: labels hang on all folders being there.
    there = {part: folder for part, folder in folders.items() if part in wanted or (place.pictures / folder).is_dir()}
    found = {part: list_folders(place.pictures / folder) for part, folder in there.items()}
    _check_equal(place, found)
    parts = {
        part: _samples(place.pictures, folders[part], synsets, names, path)
        for part, synsets in found.items()
        if part in wanted
    }
    used = [name_of(synset, place.pictures, path, names) for synset in next(iter(found.values()), ())]
    listed = ", ".join(f"{place.pictures.name}/{folders[part]}".removesuffix("/.") for part in parts)
    files = f"folders of {listed}; {path.name}"
    return Listed(parts, files, from_folders=True, notes=note_shared_names(path, used))


def _check_equal(place: Place, found: dict[str, list[str]]) -> None:
    odd = set(found.get("train", ())) ^ set(found.get("test", ()))
    if len(found) == 2 and odd:
        where = printable(place.pictures)
        raise UserError(f"{where}: train and val do not have the same folders: {printable(min(odd))} is in one alone")


def _samples(images: Path, folder: str, synsets: list[str], names: dict[str, str], path: Path) -> list[Sample]:
    place = images / folder
    return [
        Sample(f"{folder}/{synset}/{picture}".removeprefix("./"), label, name)
        for label, synset in enumerate(synsets)
        for name in [name_of(synset, place, path, names)]
        for picture in list_pictures(place / synset)
    ]
