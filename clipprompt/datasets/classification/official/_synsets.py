"""``classnames.txt`` as CoOp's users have it: lines such as ``n01440764 tench``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from clipprompt.datasets._checks import plain_name
from clipprompt.datasets.classification.official._listed import Place, read_lines
from clipprompt.datasets.classification.specifications import SPECIFICATIONS
from clipprompt.errors import UserError
from clipprompt.printable import printable

FILE = "classnames.txt"


def read_classnames(place: Place) -> tuple[Path, dict[str, str]]:
    """The class names of ImageNet's synsets, from the set's own folder or that of ImageNet or a variant beside it.

    In CLIP's list, which CoOp's file holds, four classes share two names, missile and sunglasses. Here the second of
    each has its synset in brackets, ``missile [n04008634]``, which prompts leave out: they say the same of both, and a
    tie goes to the first, as in CLIP's and CoOp's numbers.

    Returns:
        The file, and names by synset in the file's order.

    Raises:
        UserError: if there is no such file, or a line of it is no synset and a name.
    """
    path = _find(place)
    names: dict[str, str] = {}
    for where, line in read_lines(path):
        synset, _, name = line.partition(" ")
        if not re.fullmatch(r"n\d{8}", synset) or not name.strip():
            raise UserError(f"{where}: {printable(line[:60])!r} is not of the form 'n01440764 tench'")
        if synset in names:
            raise UserError(f"{where}: {synset} is there twice")
        names[synset] = name.strip()
    first: dict[str, str] = {}
    for synset, name in names.items():
        if first.setdefault(plain_name(name), synset) != synset:
            names[synset] = f"{name} [{synset}]"
    return path, names


def name_of(synset: str, folder: Path, path: Path, names: Mapping[str, str]) -> str:
    """The name of a synset that a folder has.

    Raises:
        UserError: if the file of the names does not have it.
    """
    if synset not in names:
        raise UserError(f"{path} has no name for {printable(synset)}, a folder of {printable(folder)}")
    return names[synset]


def note_shared_names(path: Path, names: Iterable[str]) -> tuple[str, ...]:
    """A note for people on classes of one name, if both of a pair are among ``names``."""
    shared = [name for name in names if name.endswith("]") and name.rpartition(" [")[0] in names]
    if not shared:
        return ()
    pairs = ", ".join(f"{name.rpartition(' [')[0]} and {name}" for name in shared)
    return (f"{path} has one name for two classes ({pairs}): prompts say the same of both, ties go to the first",)


def _find(place: Place) -> Path:
    beside = [one.folder for one in SPECIFICATIONS.values() if one.folder.startswith("imagenet")]
    for path in (place.base / FILE, *(place.base.parent / folder / FILE for folder in beside)):
        if path.is_file():
            return path
    raise UserError(
        f"no {FILE} in {printable(place.base)}, nor in a folder of ImageNet beside it; put CoOp's there, with lines "
        "such as 'n01440764 tench' (its DATASETS.md says where it is)"
    )
