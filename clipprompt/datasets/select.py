"""Turns what a user writes behind ``--dataset`` into a multi-label set; one class to each picture is a case of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clipprompt.datasets._checks import MissingPicturesError
from clipprompt.datasets._label_files import TABLES
from clipprompt.datasets.classification.load import NAMED, is_classification, load_classification, settle_pictures
from clipprompt.datasets.classification.specifications import SPECIFICATIONS as ONE_CLASS
from clipprompt.datasets.coco import load_coco
from clipprompt.datasets.folders import SPLITS, find_splits, load_class_folders
from clipprompt.datasets.images import MultiLabelImages
from clipprompt.datasets.labels import load_labels, table_splits
from clipprompt.datasets.nuswide import load_nuswide
from clipprompt.datasets.specifications import SPECIFICATIONS, Specification, official_classes
from clipprompt.datasets.voc import DIFFICULT, load_voc2007
from clipprompt.errors import UserError, nearest

READERS = ("coco", "folder", "mini")
_BY_SUFFIX = {".json": "coco"} | dict.fromkeys(TABLES, "folder")


@dataclass(frozen=True)
class _Request:
    """What was asked for: a spelling taken apart, and where its pictures lie.

    Attributes:
        spec: as written.
        kind: how it is read.
        value: a split, or a path with or without one.
        images: see :func:`load_dataset`, as are all others.
    """

    spec: str
    kind: str
    value: str
    images: str | Path | None
    root: str | Path | None
    classnames: Sequence[str] | None
    n_images: int
    difficult: str
    skip_missing: bool

    def refuse_images(self, why: str) -> None:
        """An image folder where there is no place for one."""
        if self.images is not None:
            raise UserError(f"--images {self.images} has no use with {why}; leave it out")


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
    if root is not None and kind not in _TAKE_ROOT:
        raise UserError(f"--root {root} has no use with {spec!r}; it goes with {', '.join(_TAKE_ROOT)}")
    request = _Request(spec, kind, value, images, root, classnames, n_images, difficult, skip_missing)
    dataset = _READ[kind](request)
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
    tested = SPECIFICATIONS[kind].default if kind in SPECIFICATIONS else "test"
    if is_named(kind):
        value = value or (
            "trainval" if kind in SPECIFICATIONS and "trainval" in SPECIFICATIONS[kind].splits else "train"
        )
    elif kind == "classes":
        kind, value = _folder_and_split(value)
        value = value or ("train" if "train" in find_splits(Path(kind)) else "")
    elif kind == "folder":
        kind, value = _folder_and_split(value)
        value = value or ("train" if Path(kind).is_file() and "train" in table_splits(kind) else "")
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
    if kind.lower() in SPECIFICATIONS or is_classification(kind):
        return kind.lower(), value
    if spec == "mini" or (colon and kind in READERS and (value or kind == "mini")):
        return ("classes", value) if kind == "folder" and Path(_folder_and_split(value)[0]).is_dir() else (kind, value)
    suffix = Path(_folder_and_split(spec)[0]).suffix.lower()
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix], spec
    if spec and (Path(_folder_and_split(spec)[0]).exists() or "/" in spec):
        return "classes", spec
    names = ", ".join((*SPECIFICATIONS, *NAMED))
    hint = nearest(kind.lower(), (*SPECIFICATIONS, *NAMED))
    raise UserError(
        f"unknown dataset {spec!r}{hint}; give {names} (with --root, unless drawn), "
        "coco:FILE.json, folder:FILE.csv (or .tsv, .jsonl), a folder of class folders, or mini[:test]"
    )


def _scenes(request: _Request) -> MultiLabelImages:
    from clipprompt.datasets.scenes import load_scenes

    request.refuse_images(f"the drawn scenes of {request.spec!r}")
    return load_scenes(request.value or "test", request.n_images)


def _class_folders(request: _Request) -> MultiLabelImages:
    request.refuse_images(f"{request.spec!r}, which holds its pictures")
    return load_class_folders(*_folder_and_split(request.value))


def _table(request: _Request) -> MultiLabelImages:
    table, split = _folder_and_split(request.value)
    return load_labels(
        table, request.images, split=split, classnames=request.classnames, skip_missing=request.skip_missing
    )


def _coco_file(request: _Request) -> MultiLabelImages:
    return load_coco(request.value, request.images, skip_missing=request.skip_missing)


def _one_class(request: _Request) -> MultiLabelImages:
    part = request.value or "test"
    found = load_classification(request.kind, request.root, request.images, (part,))
    samples = found.part(part)
    labelled = found.images(f"{found.name}:{part}", samples, found.classnames)
    labelled = labelled.with_notes(split=part, split_source=found.source)
    root = None if request.images is not None else request.root
    return settle_pictures(labelled, found, part, root, request.skip_missing)


def _official(request: _Request) -> MultiLabelImages:
    """A named multi-label set, whose errors say what to do next, in the order and under the names of its list."""
    specification = SPECIFICATIONS[request.kind]
    split = specification.check_split(request.value)
    if request.root is None:
        raise UserError(f"{specification.name}:{split} needs --root, the folder that holds {specification.layout[0]}")
    try:
        dataset = _OFFICIAL[request.kind](request, request.root, split)
    except UserError as error:
        if request.images is not None and isinstance(error, MissingPicturesError):
            raise  # a download would not go where --images points
        joint = " or" if str(error).endswith("?") else ";"
        raise type(error)(f"{error}{joint} {specification.next_step(split, str(request.root))}") from error
    return _compare_size(dataset, specification, split)


def _voc(request: _Request, root: str | Path, split: str) -> MultiLabelImages:
    return load_voc2007(root, split, request.images, difficult=request.difficult, skip_missing=request.skip_missing)


def _nuswide(request: _Request, root: str | Path, split: str) -> MultiLabelImages:
    return load_nuswide(root, split, request.images, skip_missing=request.skip_missing)


def _official_coco(request: _Request, root: str | Path, split: str) -> MultiLabelImages:
    specification = SPECIFICATIONS[request.kind]
    instances = Path(root) / "annotations" / f"instances_{split}{specification.name.removeprefix('coco')}.json"
    name = f"{specification.name}:{split}"
    dataset = load_coco(instances, request.images, skip_missing=request.skip_missing, name=name)
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


_OFFICIAL: Mapping[str, Callable[[_Request, str | Path, str], MultiLabelImages]] = {
    "voc2007": _voc,
    "coco2014": _official_coco,
    "coco2017": _official_coco,
    "nuswide": _nuswide,
}
_READ: Mapping[str, Callable[[_Request], MultiLabelImages]] = {
    "mini": _scenes,
    "classes": _class_folders,
    "folder": _table,
    "coco": _coco_file,
    **dict.fromkeys(SPECIFICATIONS, _official),
    **dict.fromkeys(NAMED, _one_class),
}
_TAKE_ROOT = (*SPECIFICATIONS, *ONE_CLASS)
