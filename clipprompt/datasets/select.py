"""Turns what a user writes behind ``--dataset`` into a multi-label set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from clipprompt.datasets._checks import MissingPicturesError
from clipprompt.datasets.coco import load_coco
from clipprompt.datasets.folders import SPLITS, find_splits, load_class_folders
from clipprompt.datasets.images import MultiLabelImages
from clipprompt.datasets.labels import load_labels
from clipprompt.datasets.nuswide import load_nuswide
from clipprompt.datasets.specifications import SPECIFICATIONS, Specification, official_classes
from clipprompt.datasets.voc import DIFFICULT, load_voc2007
from clipprompt.errors import UserError, nearest

READERS = ("coco", "folder", "mini")
_BY_SUFFIX = {".json": "coco", ".csv": "folder", ".tsv": "folder", ".jsonl": "folder"}


def load_dataset(
    spec: str,
    images: str | Path | None = None,
    *,
    root: str | Path | None = None,
    classnames: Sequence[str] | None = None,
    keep_empty: bool = True,
    n_images: int = 500,
    difficult: str = "unknown",
    skip_missing: bool = False,
) -> MultiLabelImages:
    """Loads a multi-label set by its short spelling.

    Args:
        spec: a named set with an optional split (``voc2007``, ``voc2007:trainval``, ``coco2014:val``, ``coco2017``,
            ``nuswide:test``), ``coco:FILE.json`` (COCO instances), ``folder:FILE.csv`` (or ``.tsv``, ``.jsonl``), a
            folder with a sub-folder per class (``photos``, or ``photos:train`` where it holds splits), or ``mini``
            with an optional split, as in ``mini:test``. The prefix may be left out of a file's or folder's name.
        images: the folder of the pictures; see the readers for their defaults.
        root: the folder of a named set, in its official layout.
        classnames: the classes to keep, in this order; all of them by default.
        keep_empty: whether images without any present class stay.
        n_images: for ``mini``, how many scenes to draw.
        difficult: for VOC, what objects marked as difficult are: ``unknown`` or ``negative``.
        skip_missing: leaves out images whose picture is missing; without it the first one is an error.

    Raises:
        UserError: if the spelling is not understood, or from the reader.
    """
    kind, value = _parse(spec)
    if difficult not in DIFFICULT:
        raise UserError(f"difficult objects cannot be {difficult!r}; choose one of {', '.join(DIFFICULT)}")
    if difficult != "unknown" and kind != "voc2007":
        raise UserError(f"--difficult {difficult} has no use with {spec!r}; only VOC marks difficult objects")
    if kind in SPECIFICATIONS:
        dataset = _load_named(SPECIFICATIONS[kind], value, root, images, difficult, skip_missing)
    elif root is not None:
        raise UserError(f"--root {root} has no use with {spec!r}; it goes with {', '.join(SPECIFICATIONS)}")
    elif kind == "mini":
        from clipprompt.datasets.scenes import load_scenes

        if images is not None:
            raise UserError(f"--images {images} has no use with the drawn scenes of {spec!r}; leave it out")
        dataset = load_scenes(value or "test", n_images)
    elif kind == "classes":
        if images is not None:
            raise UserError(f"--images {images} has no use with {spec!r}, which holds its pictures; leave it out")
        dataset = load_class_folders(*_folder_and_split(value))
    elif kind == "folder":
        dataset = load_labels(value, images, classnames=classnames, skip_missing=skip_missing)
    else:
        dataset = load_coco(value, images, skip_missing=skip_missing)
    dataset = dataset if keep_empty else dataset.without_empty()
    return dataset if classnames is None else dataset.with_classes(classnames)


def parse_named(spec: str) -> tuple[Specification, str]:
    """The named set and the split that ``spec`` means.

    Raises:
        UserError: if it names none, or no split of it.
    """
    kind, value = _parse(spec)
    if kind not in SPECIFICATIONS:
        raise UserError(f"{spec!r} is not a named set; choose one of {', '.join(SPECIFICATIONS)}")
    return SPECIFICATIONS[kind], SPECIFICATIONS[kind].check_split(value)


def is_named(spec: str) -> bool:
    """Whether ``spec`` is a named set or ``mini``, and no path, even where a folder has that name."""
    return spec.partition(":")[0].lower() in SPECIFICATIONS or spec.partition(":")[0] == "mini"


def training_split(spec: str) -> str:
    """The set to train on that ``spec`` means: a named set without a split is its training split.

    Raises:
        UserError: for a test split, which nothing is trained or selected on. COCO's is ``val``: papers score on it.
    """
    kind, value = _parse(spec)
    tested = SPECIFICATIONS[kind].default if kind in SPECIFICATIONS else "test"
    if kind == "mini" or kind in SPECIFICATIONS:
        splits = ("train",) if kind == "mini" else tuple(SPECIFICATIONS[kind].splits)
        value = value or ("trainval" if "trainval" in splits else "train")
    elif kind == "classes":
        folder, value = _folder_and_split(value)
        kind, value = folder, value or ("train" if "train" in find_splits(Path(folder)) else "")
    else:
        return spec
    if value == tested:
        raise UserError(f"{spec!r} is a test split, and nothing is learnt or selected on one; name another split")
    return f"{kind}:{value}" if value else kind


def _folder_and_split(value: str) -> tuple[str, str]:
    folder, _, split = value.rpartition(":")
    return (folder, split) if split in SPLITS and folder else (value, "")


def _parse(spec: str) -> tuple[str, str]:
    kind, colon, value = spec.partition(":")
    if kind.lower() in SPECIFICATIONS:
        return kind.lower(), value
    if spec == "mini" or (colon and kind in READERS and (value or kind == "mini")):
        return ("classes", value) if kind == "folder" and Path(_folder_and_split(value)[0]).is_dir() else (kind, value)
    suffix = Path(spec).suffix.lower()
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix], spec
    if spec and (Path(_folder_and_split(spec)[0]).exists() or "/" in spec):
        return "classes", spec
    names = ", ".join(SPECIFICATIONS)
    hint = nearest(kind.lower(), SPECIFICATIONS)
    raise UserError(
        f"unknown dataset {spec!r}{hint}; give {names} (with --root), "
        "coco:FILE.json, folder:FILE.csv (or .tsv, .jsonl), a folder of class folders, or mini[:test]"
    )


def _load_named(
    specification: Specification,
    split: str,
    root: str | Path | None,
    images: str | Path | None,
    difficult: str,
    skip_missing: bool,
) -> MultiLabelImages:
    split = specification.check_split(split)
    name = f"{specification.name}:{split}"
    if root is None:
        raise UserError(f"{name} needs --root, the folder that holds {specification.layout[0]}")
    try:
        if specification.name == "voc2007":
            dataset = load_voc2007(root, split, images, difficult=difficult, skip_missing=skip_missing)
        elif specification.name == "nuswide":
            dataset = load_nuswide(root, split, images, skip_missing=skip_missing)
        else:
            dataset = _load_official_coco(specification, split, Path(root), images, skip_missing)
    except UserError as error:
        if images is not None and isinstance(error, MissingPicturesError):
            raise  # a download would not go where --images points
        joint = " or" if str(error).endswith("?") else ";"
        raise type(error)(f"{error}{joint} {specification.next_step(split, str(root))}") from error
    return _compare_size(dataset, specification, split)


def _load_official_coco(
    specification: Specification, split: str, root: Path, images: str | Path | None, skip_missing: bool
) -> MultiLabelImages:
    instances = root / "annotations" / f"instances_{split}{specification.name.removeprefix('coco')}.json"
    name = f"{specification.name}:{split}"
    dataset = load_coco(instances, images, skip_missing=skip_missing, name=name)
    classes = official_classes(specification.classes)
    if set(dataset.classnames) != set(classes):
        odd = sorted(set(dataset.classnames) ^ set(classes))[0]
        raise UserError(f"{instances}: class {odd!r} is not in both this file and the 80 official ones")
    return dataset.with_classes(classes).with_notes(split=split)


def _compare_size(dataset: MultiLabelImages, specification: Specification, split: str) -> MultiLabelImages:
    official = specification.splits[split]
    if len(dataset) == official:
        return dataset.with_notes(official_size="yes")
    note = (
        f"{dataset.name} has {len(dataset):,} images where the official split has {official:,}: numbers do not compare"
    )
    return dataset.with_notes(note, official_size=f"no, {len(dataset)} of {official}")
