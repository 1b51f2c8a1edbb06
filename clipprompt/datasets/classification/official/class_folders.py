"""One folder for each class and no split: Caltech101, Food101, DTD, EuroSAT.

Food101 and DTD bring lists of official parts; CoOp does not use them, so neither do we.
"""

from __future__ import annotations

from clipprompt.datasets.classification._split import split_in_three
from clipprompt.datasets.classification.official._folders import list_folders, list_pictures
from clipprompt.datasets.classification.official._listed import Listed, Place
from clipprompt.datasets.classification.sets import Sample


def read(place: Place) -> Listed:
    """Labels are the folders' places in alphabetical order, capitals first."""
    specification = place.specification
    folders = [name for name in list_folders(place.pictures) if name not in specification.left_out]
    samples = [
        Sample(f"{folder}/{picture}", label, specification.renamed.get(folder, folder))
        for label, folder in enumerate(folders)
        for picture in list_pictures(place.pictures / folder)
    ]
    parts, how = split_in_three(specification.name, samples)
    return Listed(parts, f"folders of {place.pictures.name}", how, from_folders=True)
