"""SUN397: ``ClassName.txt``, ``Training_01.txt``, ``Testing_01.txt``; lines such as ``/c/church/indoor/sun_x.jpg``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from clipprompt.datasets.classification._split import split_off_val
from clipprompt.datasets.classification.official._listed import (
    Listed,
    Place,
    check_path,
    label_of,
    number_classes,
    read_lines,
)
from clipprompt.datasets.classification.sets import Sample


def read(place: Place) -> Listed:
    """Of ``/c/church/indoor`` prompts say ``indoor church``."""
    classes = place.base / "ClassName.txt"
    if not classes.exists() and (place.pictures / classes.name).exists():  # where the pictures' archive has it
        classes = place.pictures / classes.name
    labels = number_classes(classes)
    parts, how = split_off_val(place.specification.name, _samples(place.base / "Training_01.txt", labels, classes))
    test = _samples(place.base / "Testing_01.txt", labels, classes)
    return Listed(parts | {"test": test}, "Training_01.txt and Testing_01.txt", how)


def _samples(path: Path, labels: Mapping[str, int], classes: Path) -> list[Sample]:
    samples = []
    for where, line in read_lines(path):
        name = line.rpartition("/")[0]
        label = label_of(where, name, labels, classes)
        words = name.split("/")[2:]  # an empty one, and the letter
        samples.append(Sample(check_path(where, line.removeprefix("/")), label, " ".join(reversed(words))))
    return samples
