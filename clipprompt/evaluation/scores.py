"""Scores of one learner over one labelled set, and their file.

    scores.npz
      header          UTF-8 JSON as bytes: class names, image ids, split, method, backbone, options, versions
      targets         (N, C) int8: 1 present, 0 absent, -1 unknown
      scores_global   (N, C)
      scores_local    (N, C)
      scores          (N, C): both branches merged, or the only one there is
      probabilities   (N, C), where the prompt has a calibration: of `scores` (`probabilities_global`: of that branch)

Files of others need no header: `targets` and any of the three scores are enough.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clipprompt.errors import UserError
from clipprompt.evaluation._npz import Arrays, read_arrays
from clipprompt.evaluation.metrics import ScoreMatrix, check_pairs
from clipprompt.files import replace_file

FORMAT = 1
ENSEMBLE = "ensemble"
"""What a header says of ``scores`` that are a weighed sum, and so neither logits nor probabilities."""
# What reports read of a header; each may also be null.
_KINDS = {
    **dict.fromkeys(("method", "variant", "dataset", "split_hash", "backbone", "pretrained", "precision"), str),
    **dict.fromkeys(("fingerprint", "source"), str),
    "dataset_options": dict,
    "n_skipped": int,
}
_OWN_KEYS = ("format", "branches", "classnames", "ids")
_SUFFIXES = {"global": "_global", "local": "_local", "merged": ""}
_NAMES = (
    "header",
    "targets",
    *(f"{kind}{suffix}" for kind in ("scores", "probabilities") for suffix in _SUFFIXES.values()),
)


@dataclass(frozen=True, eq=False)
class Scores:
    """What one learner says of N images and C classes, and what is known of them.

    Attributes:
        by_branch: (N, C) each, by ``global``, ``local``, ``merged``; higher is more likely.
        targets: (N, C) int8 of 1 present, 0 absent, -1 unknown.
        classnames: C names; empty where they are not known.
        ids: N image ids; empty where they are not known.
        header: where the scores come from, as the records of results say it; empty where it is not known.
        probabilities: (N, C) in 0..1 of the branches that are calibrated.
    """

    by_branch: Mapping[str, ScoreMatrix]
    targets: npt.NDArray[np.int8]
    classnames: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    header: Mapping[str, Any] = field(default_factory=dict)
    probabilities: Mapping[str, ScoreMatrix] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks that all parts fit each other.

        Raises:
            UserError: naming the part that does not.
        """
        if not self.by_branch:
            raise UserError("there are no scores")
        if self.targets.size == 0 or self.targets.ndim != 2:
            raise UserError(f"targets have shape {self.targets.shape}; (images, classes) with one of each is needed")
        for branch, scores in self.by_branch.items():
            _check_matrix(f"scores{_SUFFIXES[branch]}", scores, self.targets)
        for branch, probabilities in self.probabilities.items():
            name = f"probabilities{_SUFFIXES[branch]}"
            _check_matrix(name, probabilities, self.targets)
            if probabilities.min() < 0 or probabilities.max() > 1:
                raise UserError(f"{name}: not all of them lie in 0..1")
        n_images, n_classes = self.targets.shape
        for what, names, size in (("classes", self.classnames, n_classes), ("images", self.ids, n_images)):
            if names and len(names) != size:
                raise UserError(f"the header names {len(names)} {what}, but the arrays have {size}")

    @property
    def default_branch(self) -> str:
        """Merged where it is there, otherwise the first."""
        return "merged" if "merged" in self.by_branch else next(iter(self.by_branch))


def write_scores(path: str | os.PathLike[str], scores: Scores) -> None:
    """Writes a scores file, whole or not at all. Nothing in it is pickled.

    Raises:
        UserError: if the place cannot be written.
    """
    branches = list(scores.by_branch)
    about = {
        **scores.header,
        "format": FORMAT,
        "branches": branches,
        "classnames": list(scores.classnames),
        "ids": list(scores.ids),
    }
    header = json.dumps(about, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")
    arrays = _named("scores", scores.by_branch, branches) | _named("probabilities", scores.probabilities, branches)
    with replace_file(path) as part, part.open("wb") as file:
        np.savez_compressed(file, header=np.frombuffer(header, dtype=np.uint8), targets=scores.targets, **arrays)  # type: ignore[arg-type]


def read_scores(path: str | os.PathLike[str]) -> Scores:
    """Reads a scores file, or an npz of plain arrays.

    ``scores_global`` and ``scores_local`` without ``scores`` are merged later, with the weight that is asked for.

    Raises:
        UserError: naming the file and what is wrong with it.
    """
    place = Path(path)
    arrays = read_arrays(place, _NAMES, "header")
    try:
        return _from_arrays(arrays)
    except UserError as error:
        raise UserError(f"{place}: {error}") from error


def _from_arrays(arrays: Arrays) -> Scores:
    header = _header(arrays["header"]) if "header" in arrays else {}
    if "targets" not in arrays:
        raise UserError("there is no array 'targets'; it holds 1 present, 0 absent, -1 unknown")
    by_branch = _by_branch("scores", arrays, header)
    if not by_branch:
        raise UserError("there is none of the arrays scores, scores_global, scores_local")
    return Scores(
        by_branch,
        _labels(arrays["targets"]),
        _names(header, "classnames"),
        _names(header, "ids"),
        {key: value for key, value in header.items() if key not in _OWN_KEYS},
        _by_branch("probabilities", arrays, header),
    )


def _named(kind: str, matrices: Mapping[str, ScoreMatrix], branches: list[str]) -> Arrays:
    """Arrays by their names in the file; of an only branch, the plain name."""
    return {kind if len(branches) == 1 else f"{kind}{_SUFFIXES[name]}": matrix for name, matrix in matrices.items()}


def _by_branch(kind: str, arrays: Arrays, header: Mapping[str, Any]) -> dict[str, ScoreMatrix]:
    names = {branch: f"{kind}{suffix}" for branch, suffix in _SUFFIXES.items()}
    found = {branch: _numbers(name, arrays[name]) for branch, name in names.items() if name in arrays}
    if list(found) == ["merged"] and header.get("branches") in (["global"], ["local"]):
        return {header["branches"][0]: found["merged"]}
    return found


def _header(array: npt.NDArray[Any]) -> dict[str, Any]:
    try:
        text = bytes(array) if array.dtype == np.uint8 else str(array)
        found = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise UserError(f"its header is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise UserError("its header is not a JSON object")
    if "format" in found and found["format"] != FORMAT:
        raise UserError(f"its header says format {found['format']!r}; this version reads format {FORMAT}")
    for key, kind in _KINDS.items():
        if not isinstance(found.get(key), kind | None):
            raise UserError(f"{key!r} of its header is not a {kind.__name__}: {str(found[key])[:40]}")
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text[:40]} is too large a number")
    return number


def _names(header: Mapping[str, Any], key: str) -> tuple[str, ...]:
    names = header.get(key, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{key!r} of its header is not a list of strings")
    return tuple(names)


def _numbers(name: str, array: npt.NDArray[Any]) -> ScoreMatrix:
    """Floats as they are, save that what numpy cannot do quickly or torch does not know becomes float32 or float64."""
    if array.dtype.kind not in "fiu":
        raise UserError(f"{name!r} holds {array.dtype}, not numbers")
    return array.astype(np.float32 if array.dtype.kind == "f" and array.dtype.itemsize <= 4 else np.float64)


def _labels(array: npt.NDArray[Any]) -> npt.NDArray[np.int8]:
    if array.dtype.kind not in "fiub":
        raise UserError(f"'targets' holds {array.dtype}, not labels of 1, 0, -1")
    wrong = array[~np.isin(array, (-1, 0, 1))] if array.dtype.kind != "b" else array[:0]
    if wrong.size:
        raise UserError(f"label {wrong.flat[0]} in 'targets' is not one of 1 (present), 0 (absent), -1 (unknown)")
    return array.astype(np.int8)


def _check_matrix(name: str, matrix: ScoreMatrix, targets: npt.NDArray[np.int8]) -> None:
    try:
        check_pairs(matrix, targets)
    except UserError as error:
        raise UserError(f"{name}: {error}") from error
