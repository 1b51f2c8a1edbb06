"""A set of pictures with one class each, in parts, as it lies on disk; no picture is opened."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from clipprompt.datasets._checks import plain_name
from clipprompt.datasets.decoding import open_image
from clipprompt.datasets.images import ABSENT, PRESENT, MultiLabelImages
from clipprompt.errors import UserError, nearest

PARTS = ("train", "val", "test")


class Sample(NamedTuple):
    """One picture and its class.

    Attributes:
        path: relative to the set's folder of images, with ``/``.
        label: from 0, in the order of the set's classes.
        classname: of that label.
    """

    path: str
    label: int
    classname: str


@dataclass(frozen=True, eq=False)
class ClassificationSet:
    """One class to each picture.

    Attributes:
        name: as a user writes it.
        parts: the samples of train, val and test, as far as the set has them, in the order of its files.
        folder: that paths are relative to; None for drawn pictures.
        files: that say which picture is of which class and part.
        source_sha256: of the split file, where there is one.
        how_split: what they do not say and was drawn here; empty where they say it all.
        from_folders: whether these files are the folders of the pictures.
        official_size: whether the parts that were read have the official numbers; None where there are none.
        notes: lines for people about what was read, for stderr.
        open_item: makes an upright RGB image of ``folder / path``, or of a drawn picture's ``path``.
    """

    name: str
    parts: Mapping[str, Sequence[Sample]]
    folder: Path | None = None
    files: str = ""
    source_sha256: str | None = None
    how_split: str = ""
    from_folders: bool = False
    official_size: bool | None = None
    notes: tuple[str, ...] = ()
    open_item: Callable[[Any], Image.Image] = open_image

    @property
    def source(self) -> str:
        """What told the parts, as records say it."""
        told = ", ".join(filter(None, (self.files, self.how_split)))
        return f"{told}; not of the official size" if self.official_size is False else told

    @cached_property
    def classnames(self) -> tuple[str, ...]:
        """C names by label.

        Raises:
            UserError: if a label has two names or a name two labels, or labels do not run from 0 to C - 1.
        """
        names: dict[int, str] = {}
        for samples in self.parts.values():
            for sample in samples:
                if names.setdefault(sample.label, sample.classname) != sample.classname:
                    both = f"{names[sample.label]!r} and {sample.classname!r}"
                    raise UserError(f"{self.name}: label {sample.label} is called both {both} in {self.files}")
        if sorted(names) != list(range(len(names))):
            lacking = min(set(range(len(names))) - set(names))
            raise UserError(f"{self.name}: {self.files} has no picture of label {lacking}")
        first: dict[str, int] = {}
        for label, name in sorted(names.items()):
            if (before := first.setdefault(plain_name(name), label)) != label:
                raise UserError(f"{self.name}: labels {before} and {label} are both called {name!r} in {self.files}")
        return tuple(names[label] for label in range(len(names)))

    def part(self, name: str) -> Sequence[Sample]:
        """The samples of a part.

        Raises:
            UserError: if the set has no such part.
        """
        if name not in self.parts:
            choices = ", ".join(self.parts)
            raise UserError(f"{self.name} has no part {name!r}{nearest(name, self.parts)}; it has {choices}")
        return self.parts[name]

    def item(self, sample: Sample) -> Any:
        """What ``open_item`` takes."""
        return sample.path if self.folder is None else self.folder / sample.path

    def images(self, name: str, samples: Sequence[Sample], classnames: Sequence[str]) -> MultiLabelImages:
        """Samples as the type that training and scoring take: one class of each is present, all others are absent.

        Args:
            name: what reports call them.
            samples: whose labels are places in ``classnames``.
            classnames: C names.
        """
        targets = np.full((len(samples), len(classnames)), ABSENT, dtype=np.int8)
        targets[np.arange(len(samples)), [sample.label for sample in samples]] = PRESENT
        return MultiLabelImages(
            name=name,
            items=[self.item(sample) for sample in samples],
            classnames=tuple(classnames),
            targets=targets,
            ids=tuple(sample.path for sample in samples),
            open_item=self.open_item,
            notes=self.notes,
        )


def hash_samples(samples: Sequence[Sample]) -> str:
    """SHA-256 of the lines ``path<TAB>label<TAB>classname``, in order: equal hashes are equal draws."""
    lines = (f"{sample.path}\t{sample.label}\t{sample.classname}" for sample in samples)
    return hashlib.sha256("\n".join(lines).encode(errors="surrogatepass")).hexdigest()  # names of files may be no text
