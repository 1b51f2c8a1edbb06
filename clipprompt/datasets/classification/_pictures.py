"""The pictures of a set, one after another: which are no files, and which cannot be read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from clipprompt.datasets.classification.sets import ClassificationSet, Sample
from clipprompt.datasets.decoding import decode_in_order
from clipprompt.errors import UserError


def find_missing(dataset: ClassificationSet) -> Iterator[Sample]:
    """The samples whose picture is no file, in order. Each folder is listed once: a million questions are slow."""
    if dataset.folder is None:  # drawn
        return
    names: dict[str, frozenset[str] | None] = {}
    for sample in chain.from_iterable(dataset.parts.values()):
        folder, _, name = sample.path.rpartition("/")
        if folder not in names:
            names[folder] = _files(dataset.folder / folder)
        there = names[folder]
        # Where capitals do not count, a file is there under another spelling.
        if there is None or (name not in there and not (dataset.folder / sample.path).is_file()):
            yield sample


def decode_all(dataset: ClassificationSet, missing: Iterable[Sample], workers: int = 4) -> Iterator[UserError | None]:
    """Decodes every picture that is there to its end, in order, and keeps none.

    Args:
        dataset: the set.
        missing: its samples without a picture.
        workers: threads that decode.

    Yields:
        For every picture None, or what is wrong with it.
    """
    without = {sample.path for sample in missing}

    def attempt(item: Any) -> None:
        dataset.open_item(item)

    samples = chain.from_iterable(dataset.parts.values())
    items = (dataset.item(sample) for sample in samples if sample.path not in without)
    for _, outcome in decode_in_order(items, attempt, workers=workers):
        yield outcome


def _files(folder: Path) -> frozenset[str] | None:
    """The names of a folder's files; None where it is none, or may not be read."""
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries if entry.is_file())
    except OSError:
        return None
