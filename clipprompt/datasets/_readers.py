"""How each kind of labelled set is read, by look-up; ``select.py`` says which kind a spelling means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clipprompt.datasets._checks import MissingPicturesError
from clipprompt.datasets.classification.load import NAMED, load_classification, settle_pictures
from clipprompt.datasets.classification.specifications import SPECIFICATIONS as ONE_CLASS
from clipprompt.datasets.coco import load_coco
from clipprompt.datasets.folders import SPLITS, load_class_folders
from clipprompt.datasets.images import MultiLabelImages
from clipprompt.datasets.labels import load_labels
from clipprompt.datasets.nuswide import load_nuswide
from clipprompt.datasets.specifications import SPECIFICATIONS, Specification, official_classes
from clipprompt.datasets.voc import load_voc2007
from clipprompt.errors import UserError, advise


@dataclass(frozen=True)
class Request:
    """What was asked for: a spelling taken apart, and where its pictures lie.

    Attributes:
        spec: as written.
        kind: how it is read.
        value: a split, or a path with or without one.
        images: see :func:`clipprompt.datasets.load_dataset`, as are all others.
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


def folder_and_split(value: str) -> tuple[str, str]:
    """A path, and the split behind it; empty where there is none."""
    folder, _, split = value.rpartition(":")
    return (folder, split) if split in SPLITS and folder else (value, "")


def _scenes(request: Request) -> MultiLabelImages:
    from clipprompt.datasets.scenes import load_scenes

    request.refuse_images(f"the drawn scenes of {request.spec!r}")
    return load_scenes(request.value or "test", request.n_images)


def _class_folders(request: Request) -> MultiLabelImages:
    request.refuse_images(f"{request.spec!r}, which holds its pictures")
    return load_class_folders(*folder_and_split(request.value))


def _table(request: Request) -> MultiLabelImages:
    table, split = folder_and_split(request.value)
    return load_labels(
        table, request.images, split=split, classnames=request.classnames, skip_missing=request.skip_missing
    )


def _coco_file(request: Request) -> MultiLabelImages:
    return load_coco(request.value, request.images, skip_missing=request.skip_missing)


def _one_class(request: Request) -> MultiLabelImages:
    part = request.value or "test"
    found = load_classification(request.kind, request.root, request.images, (part,))
    samples = found.part(part)
    labelled = found.images(f"{found.name}:{part}", samples, found.classnames)
    labelled = labelled.with_notes(split=part, split_source=found.source)
    root = None if request.images is not None else request.root
    return settle_pictures(labelled, found, part, root, request.skip_missing)


def _official(request: Request) -> MultiLabelImages:
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
        raise advise(error, specification.next_step(split, str(request.root))) from error
    return _compare_size(dataset, specification, split)


def _voc(request: Request, root: str | Path, split: str) -> MultiLabelImages:
    return load_voc2007(root, split, request.images, difficult=request.difficult, skip_missing=request.skip_missing)


def _nuswide(request: Request, root: str | Path, split: str) -> MultiLabelImages:
    return load_nuswide(root, split, request.images, skip_missing=request.skip_missing)


def _official_coco(request: Request, root: str | Path, split: str) -> MultiLabelImages:
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


_OFFICIAL: Mapping[str, Callable[[Request, str | Path, str], MultiLabelImages]] = {
    "voc2007": _voc,
    "coco2014": _official_coco,
    "coco2017": _official_coco,
    "nuswide": _nuswide,
}
READ: Mapping[str, Callable[[Request], MultiLabelImages]] = {
    "mini": _scenes,
    "classes": _class_folders,
    "folder": _table,
    "coco": _coco_file,
    **dict.fromkeys(SPECIFICATIONS, _official),
    **dict.fromkeys(NAMED, _one_class),
}
TAKE_ROOT = (*SPECIFICATIONS, *ONE_CLASS)
