"""Turns what a user writes behind ``--dataset`` into a set with one class to each picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from clipprompt.datasets._checks import MissingPicturesError
from clipprompt.datasets._label_entries import SPLIT_WORDS
from clipprompt.datasets._missing import settle_missing
from clipprompt.datasets.classification.groups import check_no_group
from clipprompt.datasets.classification.named import load_named
from clipprompt.datasets.classification.own import is_own, load_own
from clipprompt.datasets.classification.sets import PARTS, ClassificationSet
from clipprompt.datasets.classification.specifications import SHOWN, SPECIFICATIONS
from clipprompt.datasets.images import MultiLabelImages
from clipprompt.datasets.specifications import SPECIFICATIONS as MULTI_LABEL
from clipprompt.errors import UserError, advise, nearest
from clipprompt.mini.styles import STYLES

Load = Callable[[str, Path | None, Path | None, Sequence[str]], ClassificationSet]
"""Name, root, folder of pictures, and the parts that are wanted (others may be read too) to a set."""


def load_classification(
    spec: str, root: str | Path | None = None, images: str | Path | None = None, parts: Sequence[str] = PARTS
) -> ClassificationSet:
    """Loads a set by its name, or data of one's own. No picture is opened.

    Args:
        spec: a name (``caltech101``, ``mini-objects``), a folder of class folders, or a ``.csv``, ``.tsv`` or
            ``.jsonl`` table with one label to each picture.
        root: folder of a named set, or the one above it.
        images: folder of the pictures, where they do not lie in the set's own place.
        parts: those that are wanted; others are read where that costs nothing.

    Raises:
        UserError: if there is no such set, it holds several classes to a picture, or it cannot be read.
    """
    for part in parts:
        if part not in PARTS:
            raise UserError(f"there is no part {part!r}{nearest(part, PARTS)}; parts are {', '.join(PARTS)}")
    return _loader(spec)(spec, _path(root), _path(images), parts)


def is_classification(spec: str) -> bool:
    """Whether ``spec`` is the name of a set with one class to each picture, official or drawn."""
    return spec.lower() in NAMED


def settle_pictures(
    labelled: MultiLabelImages, found: ClassificationSet, part: str, root: str | Path | None, skip_missing: bool
) -> MultiLabelImages:
    """Checks that every picture is there, where pictures are files.

    Args:
        labelled: samples of ``found``.
        found: the set.
        part: of it, for errors.
        root: folder of a named set, whose pictures lie in their own place there; None where they do not.
        skip_missing: leaves missing pictures out and notes how many, in place of an error.

    Raises:
        MissingPicturesError: naming the first missing picture, and for a named set the command that fetches it.
    """
    if found.folder is None:
        return labelled
    try:
        return settle_missing(labelled, found.name, lambda _: part, skip_missing)
    except MissingPicturesError as error:
        if root is None or found.name not in SPECIFICATIONS:
            raise
        raise advise(error, SPECIFICATIONS[found.name].next_step(str(root))) from error


def _loader(spec: str) -> Load:
    if is_classification(spec):
        return NAMED[spec.lower()]
    name = spec.partition(":")[0]
    if name.lower() in MULTI_LABEL or name == "mini":
        raise UserError(
            f"{spec} has several classes to a picture; this is for sets with one, such as caltech101, mini-objects, or "
            "a folder of class folders"
        )
    whole, _, part = spec.rpartition(":")
    if part in SPLIT_WORDS and (is_classification(whole) or is_own(whole)):
        raise UserError(f"{spec!r} is one part of a set, and here the whole of it is meant; give {whole}")
    if is_own(spec):
        return _load_own
    check_no_group(spec)
    raise UserError(
        f"unknown set {spec!r}{nearest(spec.lower(), (*NAMED, *MULTI_LABEL))}; give {SHOWN}, {', '.join(STYLES)}, "
        "a folder of class folders, or a .csv, .tsv or .jsonl table"
    )


def _path(folder: str | Path | None) -> Path | None:
    return None if folder is None else Path(folder)


def _load_official(name: str, root: Path | None, images: Path | None, parts: Sequence[str]) -> ClassificationSet:
    return load_named(SPECIFICATIONS[name.lower()], root, images, parts)


def _load_drawn(name: str, root: Path | None, images: Path | None, parts: Sequence[str]) -> ClassificationSet:
    from clipprompt.datasets.objects import load_drawn

    for flag, folder in (("root", root), ("images", images)):
        if folder is not None:
            raise UserError(f"--{flag} {folder} has no use with the drawn pictures of {name}; leave it out")
    return load_drawn(name.lower())


def _load_own(spec: str, root: Path | None, images: Path | None, parts: Sequence[str]) -> ClassificationSet:
    if root is not None:
        raise UserError(f"--root {root} has no use with {spec!r}; it goes with {SHOWN}")
    return load_own(spec, images)


NAMED: Mapping[str, Load] = dict.fromkeys(SPECIFICATIONS, _load_official) | dict.fromkeys(STYLES, _load_drawn)
"""How the sets that have a name are loaded, in the order of tables in papers."""
