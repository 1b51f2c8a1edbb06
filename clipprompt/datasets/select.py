"""Turns what a user writes behind ``--dataset`` into a multi-label set; one class to each picture is a case of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from clipprompt.datasets._label_files import TABLES
from clipprompt.datasets._readers import READ, TAKE_ROOT, Request, folder_and_split
from clipprompt.datasets.classification.groups import check_no_group
from clipprompt.datasets.classification.load import NAMED, is_classification
from clipprompt.datasets.classification.specifications import SHOWN
from clipprompt.datasets.folders import find_splits
from clipprompt.datasets.images import MultiLabelImages
from clipprompt.datasets.labels import table_splits
from clipprompt.datasets.specifications import SPECIFICATIONS, Specification
from clipprompt.datasets.voc import DIFFICULT
from clipprompt.errors import UserError, nearest
from clipprompt.mini.styles import STYLES

READERS = ("coco", "folder", "mini")
_BY_SUFFIX = {".json": "coco"} | dict.fromkeys(TABLES, "folder")


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
            ``nuswide:test``, ``caltech101:test``), ``coco:FILE.json`` (COCO instances), ``folder:FILE.csv`` (or
            ``.tsv``, ``.jsonl``), a folder with a sub-folder per class (``photos``), ``photos:train`` or
            ``FILE.csv:train`` where it holds splits, or a drawn set, as in ``mini:test``. The prefix may be left out
            of a file's or folder's name.
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
    if root is not None and kind not in TAKE_ROOT:
        raise UserError(f"--root {root} has no use with {spec!r}; it goes with {', '.join(TAKE_ROOT)}")
    request = Request(spec, kind, value, images, root, classnames, n_images, difficult, skip_missing)
    dataset = READ[kind](request)
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
    """Whether ``spec`` is a named or drawn set, and no path, even where a folder has that name."""
    kind = spec.partition(":")[0]
    return kind.lower() in SPECIFICATIONS or is_classification(kind) or kind == "mini"


def training_split(spec: str) -> str:
    """The set to train on that ``spec`` means: a named set without a split is its training split.

    Raises:
        UserError: for a test split, which nothing is trained or selected on. COCO's is ``val``: papers score on it.
    """
    kind, value = _parse(spec)
    if kind == "coco":
        return spec
    tested = SPECIFICATIONS[kind].default if kind in SPECIFICATIONS else "test"
    if is_named(kind):
        has_trainval = kind in SPECIFICATIONS and "trainval" in SPECIFICATIONS[kind].splits
        value = value or ("trainval" if has_trainval else "train")
    else:
        kind, value = folder_and_split(value)
        value = value or ("train" if "train" in _own_splits(Path(kind)) else "")
    if value == tested:
        raise UserError(f"{spec!r} is a test split, and nothing is learnt or selected on one; name another split")
    return f"{kind}:{value}" if value else kind


def _own_splits(path: Path) -> tuple[str, ...]:
    """Those of a folder or a table; none where neither is there, which is for a reader to tell."""
    is_table = path.suffix.lower() in TABLES and path.is_file()
    return table_splits(path) if is_table else find_splits(path)


def _parse(spec: str) -> tuple[str, str]:
    kind, colon, value = spec.partition(":")
    if kind.lower() in SPECIFICATIONS or is_classification(kind):
        return kind.lower(), value
    if spec == "mini" or (colon and kind in READERS and (value or kind == "mini")):
        return ("classes", value) if kind == "folder" and Path(folder_and_split(value)[0]).is_dir() else (kind, value)
    suffix = Path(folder_and_split(spec)[0]).suffix.lower()
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix], spec
    if spec and (Path(folder_and_split(spec)[0]).exists() or "/" in spec):
        return "classes", spec
    check_no_group(kind)
    names = ", ".join((*SPECIFICATIONS, SHOWN, *STYLES))
    hint = nearest(kind.lower(), (*SPECIFICATIONS, *NAMED))
    raise UserError(
        f"unknown dataset {spec!r}{hint}; give {names} (with --root, unless drawn), "
        "coco:FILE.json, folder:FILE.csv (or .tsv, .jsonl), a folder of class folders, or mini[:test]"
    )
