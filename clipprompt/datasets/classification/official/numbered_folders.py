"""ImageNetV2: folders ``0`` to ``999``, each a synset's place in the order of ImageNet's."""

from __future__ import annotations

from clipprompt.datasets.classification.official._folders import list_folders, list_pictures
from clipprompt.datasets.classification.official._listed import Listed, Place
from clipprompt.datasets.classification.official._synsets import note_shared_names, read_classnames
from clipprompt.datasets.classification.sets import Sample
from clipprompt.errors import UserError
from clipprompt.printable import printable


def read(place: Place) -> Listed:
    """Numbers say nothing of the class unless all of them are there, so they must be."""
    path, names = read_classnames(place)
    folders = list_folders(place.pictures)
    classnames = [names[synset] for synset in sorted(names)]
    if sorted(folders) != sorted(str(label) for label in range(len(names))):
        raise UserError(
            f"{printable(place.pictures)} has {len(folders)} folders where {path} has {len(names)} names; "
            f"it must have the folders 0 to {len(names) - 1}"
        )
    samples = [
        Sample(f"{label}/{picture}", label, name)
        for label, name in enumerate(classnames)
        for picture in list_pictures(place.pictures / str(label))
    ]
    files = f"folders of {place.pictures.name}; {path.name}"
    return Listed({"test": samples}, files, from_folders=True, notes=note_shared_names(path, classnames))
