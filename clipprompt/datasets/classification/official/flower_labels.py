"""Flowers102: ``imagelabels.mat`` has a number from 1 for each picture, ``cat_to_name.json`` the flowers' names."""

from __future__ import annotations

import json
from pathlib import Path

from clipprompt.datasets._checks import read_utf8
from clipprompt.datasets.classification._split import split_in_three
from clipprompt.datasets.classification.official._listed import Listed, Place
from clipprompt.datasets.classification.official._mat import label_from, read_mat
from clipprompt.datasets.classification.sets import Sample
from clipprompt.errors import UserError


def read(place: Place) -> Listed:
    """The official parts (``setid.mat``) are not those of CoOp, which splits all pictures anew."""
    path = place.base / "imagelabels.mat"
    names = read_flowers(place.base / "cat_to_name.json")
    samples = []
    for number, value in enumerate(read_mat(path, "labels"), 1):
        label = label_from(f"{path}, picture {number}", value, len(names))
        samples.append(Sample(f"image_{number:05d}.jpg", label, names[label]))
    parts, how = split_in_three(place.specification.name, samples)
    return Listed(parts, path.name, how)


def read_flowers(path: Path) -> list[str]:
    """The flowers' names, that of number 1 first.

    Raises:
        UserError: if the file is broken, or a number has no name.
    """
    try:
        content = json.loads(read_utf8(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: broken JSON ({error}); fetch the file again") from error
    if not isinstance(content, dict) or not content or not all(isinstance(name, str) for name in content.values()):
        raise UserError(f'{path} is not of the form {{"1": "pink primrose", …}}')
    numbers = [str(number) for number in range(1, len(content) + 1)]
    if lacking := [number for number in numbers if number not in content]:
        raise UserError(f"{path} names {len(content)} flowers, but none of number {lacking[0]}")
    return [content[number] for number in numbers]
