"""Scores files to records: one per file, and of several files one more, their ensemble."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

from clipprompt.errors import UserError
from clipprompt.evaluation.combine import asked_of, check_same_set, check_weights
from clipprompt.evaluation.evaluate import Evaluated, evaluate_scores
from clipprompt.evaluation.measures import THRESHOLD
from clipprompt.evaluation.multilabel import title
from clipprompt.evaluation.provenance import library_versions
from clipprompt.evaluation.scores import Scores, read_scores


class SavedFile(TypedDict):
    """A file that took part.

    Attributes:
        path: as it was given.
        weight: in the ensemble.
        header: what the file says of itself; empty for plain arrays.
    """

    path: str
    weight: float
    header: dict[str, Any]


class SavedRecord(Evaluated):
    """Numbers about saved scores. Facts of a header that it lacks, or that differ between files, are None.

    Attributes:
        row: what tables call it.
        method: of the learner.
        control: always False; reports ask for it.
        files: that took part.
        n_images: N.
        classnames: C names; plain numbers from 1 where no file has names.
        class_hash: of the names; None where no file has names.
        versions: of Python and the libraries that measured.
    """

    row: str
    method: str | None
    control: bool
    files: list[SavedFile]
    dataset: str | None
    dataset_options: dict[str, str] | None
    n_images: int
    n_skipped: int | None
    split_hash: str | None
    classnames: list[str]
    class_hash: str | None
    backbone: str | None
    pretrained: str | None
    fingerprint: str | None
    precision: str | None
    versions: dict[str, str]


def evaluate_files(
    paths: Sequence[Path],
    *,
    branch: str | None = None,
    merge: float | None = None,
    how: str = "none",
    weights: Sequence[float] | None = None,
    threshold: float = THRESHOLD,
) -> list[SavedRecord]:
    """Measures scores files.

    Args:
        paths: of the files.
        branch: see :func:`evaluate_scores`, as all others.
        merge: see there.
        how: see there.
        weights: see there.
        threshold: see there.

    Returns:
        One record per file; of several files, their ensemble comes last.

    Raises:
        UserError: for a file that cannot be read, files of different sets, or as :func:`evaluate_scores`.
    """
    shares = check_weights(weights, len(paths))
    named = [(str(path), read_scores(path)) for path in paths]
    check_same_set(named)
    classnames = next((scores.classnames for _, scores in named if scores.classnames), ())
    every = [scores for _, scores in named]
    records = []
    for (name, scores), (own_branch, own_merge) in zip(named, asked_of(every, branch, merge), strict=True):
        try:
            numbers = evaluate_scores([scores], branch=own_branch, merge=own_merge, how=how, threshold=threshold)
        except UserError as error:
            raise UserError(f"{name}: {error}") from error
        records.append(_record(_title(name, scores, numbers["branch"]), [(name, scores)], [1.0], numbers, classnames))
    if len(named) > 1:
        numbers = evaluate_scores(every, branch=branch, merge=merge, how=how, weights=shares, threshold=threshold)
        text = ", ".join(f"{share / sum(shares):.3g}" for share in shares)
        records.append(_record(f"ensemble ({text})", named, shares, numbers, classnames))
    return records


def _record(
    row: str,
    named: Sequence[tuple[str, Scores]],
    weights: Sequence[float],
    numbers: Evaluated,
    classnames: tuple[str, ...],
) -> SavedRecord:
    every = [scores for _, scores in named]
    n_images, n_classes = every[0].targets.shape
    return {
        **numbers,
        "row": row,
        "method": _agreed(every, "method"),
        "control": False,
        "files": [
            {"path": path, "weight": weight, "header": dict(scores.header)}
            for (path, scores), weight in zip(named, weights, strict=True)
        ],
        "dataset": _agreed(every, "dataset"),
        "dataset_options": _agreed(every, "dataset_options"),
        "n_images": n_images,
        "n_skipped": _agreed(every, "n_skipped"),
        "split_hash": _agreed(every, "split_hash"),
        "classnames": list(classnames or map(str, range(1, n_classes + 1))),
        "class_hash": hashlib.sha256(json.dumps(classnames).encode()).hexdigest()[:16] if classnames else None,
        "backbone": _agreed(every, "backbone"),
        "pretrained": _agreed(every, "pretrained"),
        "fingerprint": _agreed(every, "fingerprint"),
        "precision": _agreed(every, "precision"),
        "versions": library_versions(),
    }


def _agreed(every: Sequence[Scores], key: str) -> Any:
    values = [scores.header.get(key) for scores in every]
    return values[0] if all(value == values[0] for value in values) else None


def _title(path: str, scores: Scores, branch: str) -> str:
    method, variant = scores.header.get("method"), scores.header.get("variant")
    known = title(method, branch, variant or "") if isinstance(method, str) else branch
    return f"{path}: {known}"
