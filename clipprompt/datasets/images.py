"""The one type that every reader of multi-label image sets returns."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from clipprompt.datasets._checks import check_distinct, plain_name
from clipprompt.datasets.decoding import open_image
from clipprompt.errors import UserError, nearest

PRESENT, ABSENT, UNKNOWN = 1, 0, -1


@dataclass(frozen=True, eq=False)
class MultiLabelImages:
    """N images, C classes, and what is known of each pair.

    Attributes:
        name: what reports call the set.
        items: N paths, or whatever ``open_item`` turns into an image.
        classnames: C names, in column order.
        targets: (N, C) int8 of 1 present, 0 absent, -1 unknown.
        open_item: makes an upright RGB image of an item.
        ids: N names that stay the same when the folder moves; they enter the split hash.
        options: what was chosen while reading, such as ``{"difficult": "unknown"}``; it goes into the records.
        notes: lines for people about what was read, for stderr.
    """

    name: str
    items: Sequence[Any]
    classnames: tuple[str, ...]
    targets: npt.NDArray[np.int8]
    ids: tuple[str, ...]
    open_item: Callable[[Any], Image.Image] = open_image
    options: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Checks the shapes and the label values.

        Raises:
            UserError: if there is no image, no class, a class twice, or a value other than 1, 0, -1.
        """
        if not self.items:
            raise UserError(f"{self.name}: there is no image in this set")
        if not self.classnames:
            raise UserError(f"{self.name}: there is no class in this set")
        check_distinct(self.name, self.classnames)
        shape = (len(self.items), len(self.classnames))
        if self.targets.shape != shape or len(self.ids) != shape[0]:
            raise UserError(f"{self.name}: targets {self.targets.shape} and {len(self.ids)} ids do not fit {shape}")
        if wrong := sorted(set(np.unique(self.targets).tolist()) - {PRESENT, ABSENT, UNKNOWN}):
            raise UserError(f"{self.name}: label {wrong[0]} is not one of 1 (present), 0 (absent), -1 (unknown)")

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Image.Image:
        return self.open_item(self.items[index])

    def with_classes(self, classnames: Iterable[str]) -> MultiLabelImages:
        """The same images with the columns of ``classnames`` alone, in that order and under those names.

        Names are matched without regard to case and spaces, and with underscores as spaces, so that ``dining table``
        finds VOC's ``diningtable``.

        Raises:
            UserError: if a class is not among those of the set.
        """
        wanted = tuple(classnames)
        exact = {plain_name(name): index for index, name in enumerate(self.classnames)}
        joined = {name.replace(" ", ""): index for name, index in exact.items()}
        columns = []
        for name in wanted:
            index = exact.get(plain_name(name), joined.get(plain_name(name).replace(" ", "")))
            if index is None:
                hint = nearest(plain_name(name), exact)
                raise UserError(f"{self.name} has no labels for class {name!r}{hint}; choose among its classes")
            columns.append(index)
        return replace(self, classnames=wanted, targets=np.ascontiguousarray(self.targets[:, columns]))

    def with_notes(self, *notes: str, **options: str) -> MultiLabelImages:
        """The same images with more lines for people and more recorded options."""
        return replace(self, notes=(*self.notes, *notes), options={**self.options, **options})

    def without_empty(self) -> MultiLabelImages:
        """The images with at least one present class; how many were left out is noted.

        Raises:
            UserError: if there is none.
        """
        kept = np.flatnonzero((self.targets == PRESENT).any(axis=1)).tolist()
        if not kept:
            raise UserError(f"{self.name}: no image has a label")
        lacking = "no label" if (self.targets != UNKNOWN).all() else "no class that is known to be present"
        notes = [f"{len(self) - len(kept):,} of {len(self):,} images have {lacking} and are left out"]
        return self.subset(kept).with_notes(*notes[: len(kept) < len(self)], without_label="left out")

    def subset(self, indices: Sequence[int]) -> MultiLabelImages:
        """The images at ``indices``, in that order."""
        picked = list(indices)
        return replace(
            self,
            items=[self.items[index] for index in picked],
            ids=tuple(self.ids[index] for index in picked),
            targets=self.targets[picked],
        )

    def split_hash(self) -> str:
        """16 hex digits of the image ids, their order and all labels: equal hashes mean comparable numbers."""
        digest = hashlib.sha256(json.dumps([self.ids, self.targets.shape]).encode())
        digest.update(np.ascontiguousarray(self.targets).tobytes())
        return digest.hexdigest()[:16]

    def class_hash(self) -> str:
        """16 hex digits of the class names in their order."""
        return hashlib.sha256(json.dumps(self.classnames).encode()).hexdigest()[:16]
