"""What a run knows of a multi-label set, everything in the one right order; training, records and draws ask here.

    the set's labels ──file──> what it says of them ──subset──> columns, pictures that have one of these classes
        ──shots, by all these labels──> pictures to learn from and to select by ──known──> the labels of each

Which labels of a picture are known does not depend on the shots, nor which pictures are drawn on the share.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from clipprompt.datasets.images import PRESENT, UNKNOWN, MultiLabelImages
from clipprompt.datasets.partial.class_groups import has_any, keep_pictures, subset_classes
from clipprompt.datasets.partial.known import SINGLE_POSITIVE, Known, draw_known, only_labelled, single_positive
from clipprompt.datasets.partial.label_file import apply_labels
from clipprompt.datasets.partial.shots import draw_rows, note_few
from clipprompt.printable import counted


@dataclass(frozen=True, eq=False)
class Learnt:
    """What a run sees of a set; pictures without any known label are left out.

    Attributes:
        train: to learn from; its notes tell what was drawn.
        val: to select by, where shots are drawn and pictures are left; otherwise None.
    """

    train: MultiLabelImages
    val: MultiLabelImages | None = None

    @cached_property
    def hash(self) -> str:
        """Of what is learnt from (:func:`hash_labels`)."""
        return hash_labels(self.train)


def learnt_labels(
    images: MultiLabelImages,
    *,
    seed: int,
    shots: int | None = None,
    known: Known | None = None,
    labels: str | Path | None = None,
    subset: str = "all",
    class_split: int = 0,
) -> Learnt:
    """Chooses and draws what a run knows of a set. The module's text says how; nothing global is touched.

    Args:
        images: the set.
        seed: of both draws, 0 or more.
        shots: pictures of each class to learn from; None for all of the set.
        known: a share of the labels, ``single-positive``, or None for all of them.
        labels: a file that says which labels are known, as :func:`apply_labels` reads it; None for those of the set.
        subset: all, base (the seen classes) or novel (the unseen ones).
        class_split: of :func:`clipprompt.datasets.partial.class_groups.class_groups`.

    Raises:
        UserError: if the file is wrong, or a value is none of these, or no picture or label is left.
    """
    chosen = _of_subset(images, images if labels is None else apply_labels(images, labels), subset, class_split)
    drawn = _with_known(chosen, known, seed)  # of all pictures, so it does not matter which of them are shots
    if shots is None:
        return Learnt(_counted(only_labelled(drawn)))
    train, val = draw_rows(chosen, shots, seed)
    drawn = drawn.with_notes(shots=str(shots))
    learnt = drawn.subset(train.tolist()).with_notes(*note_few(chosen, shots))
    val = val[(drawn.targets[val] != UNKNOWN).any(axis=1)]
    return Learnt(_counted(only_labelled(learnt)), drawn.subset(val.tolist()) if len(val) else None)


def hash_labels(images: MultiLabelImages) -> str:
    """SHA-256 of picture ids, class names and labels, in their order: equal hashes are equal draws."""
    digest = hashlib.sha256(json.dumps([images.ids, images.classnames]).encode())
    digest.update(np.ascontiguousarray(images.targets).tobytes())
    return digest.hexdigest()


def _of_subset(images: MultiLabelImages, given: MultiLabelImages, subset: str, class_split: int) -> MultiLabelImages:
    """The columns of a subset, and the pictures that have one of them by the set's own labels or by the file's."""
    names = subset_classes(images, subset, class_split)
    if subset == "all":
        return given
    columns = given.with_classes(names)
    kept = has_any(images.with_classes(names)) | has_any(columns)
    return keep_pictures(columns, kept).with_notes(subset=subset, class_split=str(class_split))


def _with_known(images: MultiLabelImages, known: Known | None, seed: int) -> MultiLabelImages:
    if known is None:
        return images
    return single_positive(images, seed) if known == SINGLE_POSITIVE else draw_known(images, float(known), seed)


def _counted(images: MultiLabelImages) -> MultiLabelImages:
    n_known, n_present = int((images.targets != UNKNOWN).sum()), int((images.targets == PRESENT).sum())
    if n_known == images.targets.size:
        return images
    share = f"{n_known / images.targets.size:.1%}"
    known = f"{counted(n_known, 'label')} of {counted(len(images), 'picture')}"
    return images.with_notes(
        f"{images.name}: {known} {'is' if n_known == 1 else 'are'} known ({share}), {n_present:,} present"
    )
