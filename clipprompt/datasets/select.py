"""Turns what a user writes behind ``--dataset`` into a multi-label set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from clipprompt.datasets.coco import load_coco
from clipprompt.datasets.images import MultiLabelImages
from clipprompt.datasets.labels import load_labels
from clipprompt.errors import UserError

READERS = ("coco", "folder", "mini")
_BY_SUFFIX = {".json": "coco", ".csv": "folder", ".tsv": "folder", ".jsonl": "folder"}


def load_dataset(
    spec: str,
    images: str | Path | None = None,
    *,
    classnames: Sequence[str] | None = None,
    keep_empty: bool = True,
    n_images: int = 500,
) -> MultiLabelImages:
    """Loads a multi-label set by its short spelling.

    Args:
        spec: ``coco:FILE.json`` (COCO instances), ``folder:FILE.csv`` (or ``.tsv``, ``.jsonl``), or ``mini`` with an
            optional split, as in ``mini:test``. The prefix may be left out of a file name.
        images: the folder of the pictures; see the readers for their defaults.
        classnames: the classes to keep, in this order; all of them by default.
        keep_empty: for COCO files, whether images without annotations stay.
        n_images: for ``mini``, how many scenes to draw.

    Raises:
        UserError: if the spelling is not understood, or from the reader.
    """
    kind, value = _parse(spec)
    if kind == "mini":
        from clipprompt.datasets.scenes import load_scenes

        if images is not None:
            raise UserError(f"--images {images} has no use with the drawn scenes of {spec!r}; leave it out")
        dataset = load_scenes(value or "test", n_images)
        return dataset if classnames is None else dataset.with_classes(classnames)
    if kind == "folder":
        return load_labels(value, images, classnames=classnames)
    dataset = load_coco(value, images, keep_empty=keep_empty)
    return dataset if classnames is None else dataset.with_classes(classnames)


def _parse(spec: str) -> tuple[str, str]:
    kind, colon, value = spec.partition(":")
    if spec == "mini" or (colon and kind in READERS and (value or kind == "mini")):
        return kind, value
    suffix = Path(spec).suffix.lower()
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix], spec
    raise UserError(f"unknown dataset {spec!r}; give coco:FILE.json, folder:FILE.csv (or .tsv, .jsonl), or mini[:test]")
