"""Seen and unseen classes of a multi-label set: what is learnt, and what is tested without having been learnt.

COCO's are the 48 and 17 of Bansal et al. 2018 (arXiv 1804.04340), as in DualCoOp; a file of ``configs/class_groups``
says them. The classes of any other set are halved as those of sets with one class to a picture.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from clipprompt._yaml import read_mapping
from clipprompt.datasets._checks import plain_name
from clipprompt.datasets.classification.draw import SUBSETS, halves
from clipprompt.datasets.images import PRESENT, MultiLabelImages
from clipprompt.datasets.specifications import official_classes
from clipprompt.errors import UserError, nearest
from clipprompt.resources import resource

Groups = tuple[tuple[str, ...], tuple[str, ...]]
_SHIPPED = ("coco2014",)


def class_groups(images_or_names: MultiLabelImages | Sequence[str], spec: str, class_split: int = 0) -> Groups:
    """The seen and the unseen classes, each in the order of the set.

    Args:
        images_or_names: the set, or its class names.
        spec: what errors call it.
        class_split: 0 for those of papers where the classes are COCO's, and otherwise for the first half and the rest;
            above 0 the seed of another halving.

    Raises:
        UserError: if ``class_split`` is below 0, or a single class leaves none unseen.
    """
    names = images_or_names.classnames if isinstance(images_or_names, MultiLabelImages) else tuple(images_or_names)
    if class_split == 0 and (of_papers := _published(names)) is not None:
        return of_papers
    seen, unseen = halves(len(names), class_split)
    if not unseen:
        raise UserError(f"{spec} has a single class, {names[0]!r}, so none of them is unseen")
    return tuple(names[column] for column in seen), tuple(names[column] for column in unseen)


def subset_classes(images: MultiLabelImages, subset: str, class_split: int = 0) -> tuple[str, ...]:
    """The class names of a subset: all, base (the seen ones) or novel (the unseen ones).

    Raises:
        UserError: for another subset, or from :func:`class_groups`.
    """
    if subset not in SUBSETS:
        raise UserError(f"subset {subset!r} is none of {', '.join(SUBSETS)}{nearest(subset, SUBSETS)}")
    if subset == "all":
        return images.classnames
    return class_groups(images, images.name, class_split)[subset == "novel"]


def with_any_of(images: MultiLabelImages, classnames: Sequence[str]) -> MultiLabelImages:
    """The pictures that have at least one of these classes, with the columns of these alone.

    Raises:
        UserError: if the set does not label one of them, or no picture has one.
    """
    columns = images.with_classes(classnames)
    return keep_pictures(columns, has_any(columns))


def has_any(images: MultiLabelImages) -> npt.NDArray[np.bool_]:
    """Of each of the N pictures, whether at least one class is known to be present."""
    present: npt.NDArray[np.bool_] = (images.targets == PRESENT).any(axis=1)
    return present


def keep_pictures(images: MultiLabelImages, kept: npt.NDArray[np.bool_]) -> MultiLabelImages:
    """The pictures that are kept, and a note of how many were left out since none of the chosen classes is in them.

    Raises:
        UserError: if none is kept.
    """
    n_kept, first = int(kept.sum()), ", ".join(images.classnames[:3])
    if not n_kept:
        raise UserError(f"{images.name}: no picture has one of its {len(images.classnames)} classes ({first}, …)")
    note = f"{images.name}: {n_kept:,} of {len(images):,} pictures have one of the {len(images.classnames)} classes"
    return images.subset(np.flatnonzero(kept).tolist()).with_notes(note, pictures="with one of the classes")


def _published(names: Sequence[str]) -> Groups | None:
    """The groups of a shipped list whose classes these are."""
    plain = {plain_name(name) for name in names}
    for stem in _SHIPPED:
        if plain == {plain_name(name) for name in official_classes(stem)}:
            tree = read_mapping(resource(f"configs/class_groups/{stem}.yaml"))
            groups = [{plain_name(name) for name in tree[key]} for key in ("seen", "unseen")]
            seen, unseen = (tuple(name for name in names if plain_name(name) in group) for group in groups)
            return seen, unseen
    return None
