"""``predictions.jsonl``: what a learner said of every tested picture, as a protocol writes it on request."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipprompt.errors import UserError
from clipprompt.evaluation.records import numbered_records

PREDICTIONS = "predictions.jsonl"
_WORDS = ("dataset", "tested_subset", "path", "classname", "predicted")


@dataclass(frozen=True, slots=True)
class Prediction:
    """One tested picture.

    Attributes:
        dataset: it belongs to.
        subset: of the classes that it was told apart from: all, base or novel.
        path: relative to ``folder``.
        folder: of the pictures; None for drawn ones.
        truth: its class.
        predicted: what it was taken for.
        probability: of that, by the learner.
        method: of the learner; empty where it is not known.
    """

    dataset: str
    subset: str
    path: str
    folder: str | None
    truth: str
    predicted: str
    probability: float
    method: str = ""

    @property
    def is_right(self) -> bool:
        """Whether the class was found."""
        return self.predicted == self.truth


def read_predictions(path: str | Path, method: str = "") -> list[Prediction]:
    """Reads a file of predictions.

    Args:
        path: of the file.
        method: whose predictions they are.

    Raises:
        UserError: naming the file, and the line that is no prediction.
    """
    return [_prediction(line, method, f"{path}, line {number}") for number, line in numbered_records(path)]


def _prediction(line: Mapping[str, Any], method: str, where: str) -> Prediction:
    for key in (*_WORDS, "folder", "probability"):
        if key not in line:
            raise UserError(f"{where}: a prediction lacks {key!r}; make it anew with clipprompt eval … --predictions")
    words = {name: line[name] for name in _WORDS}
    folder, probability = line["folder"], line["probability"]
    if not all(isinstance(word, str) for word in words.values()) or not isinstance(folder, str | None):
        raise UserError(f"{where}: {', '.join(words)} and folder must be text")
    if type(probability) not in (int, float) or not math.isfinite(probability):
        raise UserError(f"{where}: probability must be a number, not {probability!r}")
    return Prediction(
        dataset=words["dataset"],
        subset=words["tested_subset"],
        path=words["path"],
        folder=folder,
        truth=words["classname"],
        predicted=words["predicted"],
        probability=float(probability),
        method=method,
    )
