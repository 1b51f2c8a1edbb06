"""FGVCAircraft: ``variants.txt`` and ``images_variant_{train,val,test}.txt``, lines such as ``1025794 707-320``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from clipprompt.datasets.classification.official._listed import (
    Listed,
    Place,
    check_path,
    label_of,
    number_classes,
    read_lines,
)
from clipprompt.datasets.classification.sets import PARTS, Sample


def read(place: Place) -> Listed:
    """All three parts are official."""
    classes = place.base / "variants.txt"
    labels = number_classes(classes)
    parts = {part: _samples(place.base / f"images_variant_{part}.txt", labels, classes) for part in PARTS}
    return Listed(parts, "images_variant_{train,val,test}.txt")


def _samples(path: Path, labels: Mapping[str, int], classes: Path) -> list[Sample]:
    samples = []
    for where, line in read_lines(path):
        stem, _, variant = line.partition(" ")
        label = label_of(where, variant.strip(), labels, classes)
        samples.append(Sample(check_path(where, f"{stem}.jpg"), label, variant.strip()))
    return samples
