"""From scores to probabilities and thresholds, for any class list: ``calibration.json`` in a prompt folder.

    z = (score - mean) / deviation        mean and deviation: of the same sample's scores for a reference list
    probability = sigmoid(slope * z + offset)
    a label is given where its probability reaches the threshold of the class
    "yes" from a higher probability on, "no" below a lower one, "uncertain" between them

One calibration serves captions and pictures, because z takes out what lifts or stretches all scores of a sample (the
modality gap). The reference list is long, so that something of it is absent from every picture, and does not change
with the labels that a user asks for. The curve is one for all classes, and a class that was not calibrated takes a
shared threshold. docs/calibration.md has the measurements behind each choice.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from clipprompt.datasets._checks import first_repeated, plain_name
from clipprompt.errors import UserError
from clipprompt.files import write_json
from clipprompt.inference._logistic import Floats, Ints, Reals, sigmoid, standardise
from clipprompt.learners._saving import WEIGHTS, read_description

if TYPE_CHECKING:
    from clipprompt.backbone import Backbone

FILE_NAME = "calibration.json"
FORMAT: Literal[2] = 2
"""Of new files; those of format 1 have no band of uncertain answers."""

MIN_REFERENCE = 3
"""Reference classes at least: leaving a class out of its own yardstick must leave two."""

_Probability = Annotated[float, Field(ge=0, le=1)]
_Name = Annotated[str, Field(min_length=1)]
T = TypeVar("T")
Banded = TypeVar("Banded", "ClassCalibration", "Calibration")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ClassCalibration(_Strict):
    """What was found for one class.

    Attributes:
        name: the class name.
        threshold: a probability from here on gives the label.
        certain_below: a probability below this is answered "no"; None in format 1.
        certain_from: a probability from here on is answered "yes"; 1 where no lower one was sure enough.
        n_present: samples that are known to show the class.
        n_absent: samples that are known not to; None in format 1.
        f1: at the threshold, on the samples it was chosen on; None for a class that takes the shared threshold, as none
            of its samples, or all of them, show it.
    """

    name: _Name
    threshold: _Probability
    certain_below: _Probability | None = None
    certain_from: _Probability | None = None
    n_present: Annotated[int, Field(ge=0)]
    n_absent: Annotated[int, Field(ge=0)] | None = None
    f1: _Probability | None

    @model_validator(mode="after")
    def _band_fits(self) -> ClassCalibration:
        return _check_band(self)


class Calibration(_Strict):
    """A fitted calibration; its fields are the keys of ``calibration.json``.

    Attributes:
        format: of the file.
        source: what it was calibrated on, for people.
        n_samples: captions or images.
        method: the learner.
        fingerprint: of the backbone's weights.
        prompt: hash of the prompt that it belongs to; None until it is written to a prompt folder.
        slope: of the logistic curve.
        offset: of the logistic curve.
        certainty: the share of right answers that counts as certain; None in format 1.
        threshold: for classes that were not calibrated.
        certain_below: for these.
        certain_from: for these.
        reference: the R class names whose scores are the yardstick of a sample.
        classes: those calibrated.
    """

    format: Literal[1, 2] = FORMAT
    source: str
    n_samples: Annotated[int, Field(ge=1)]
    method: str
    fingerprint: str
    prompt: str | None = None
    slope: Annotated[float, Field(gt=0)]
    offset: float
    certainty: _Probability | None = None
    threshold: _Probability
    certain_below: _Probability | None = None
    certain_from: _Probability | None = None
    reference: Annotated[tuple[_Name, ...], Field(min_length=MIN_REFERENCE)]
    classes: Annotated[tuple[ClassCalibration, ...], Field(min_length=1)]

    @field_validator("reference")
    @classmethod
    def _reference_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _each_once(names, names)

    @field_validator("classes")
    @classmethod
    def _classes_once(cls, classes: tuple[ClassCalibration, ...]) -> tuple[ClassCalibration, ...]:
        return _each_once(classes, [one.name for one in classes])

    @model_validator(mode="after")
    def _band_is_that_of_the_format(self) -> Calibration:
        _check_band(self)
        has_band = [above is not None for above in (self.certain_from, *(one.certain_from for one in self.classes))]
        if self.format == 1 and (any(has_band) or self.certainty is not None):
            raise ValueError("format 1 has no band of uncertain answers")
        if self.format == 2 and (not all(has_band) or self.certainty is None):
            raise ValueError("format 2 has a certainty, and certain_below and certain_from for every class")
        return self

    def probabilities(self, scores: Reals, reference_scores: Reals, classnames: Sequence[str]) -> Floats:
        """Probabilities of any classes.

        Args:
            scores: (B, C), the learner's ``logits_from`` of B samples for ``classnames``.
            reference_scores: (B, R), those of the same samples for ``reference``.
            classnames: C names; calibrated ones are known by name, without regard to case and underscores.

        Returns:
            (B, C) in 0..1; rising with the score of a class while the reference scores stay.

        Raises:
            UserError: if the shapes do not fit the names, or a score is not finite.
        """
        check_scores(scores, len(classnames), "classes")
        check_scores(reference_scores, len(self.reference), "reference classes")
        z = standardise(scores, reference_scores, places(classnames, self.reference))
        return sigmoid(self.slope * z + self.offset)

    def thresholds(self, classnames: Sequence[str]) -> Floats:
        """The thresholds (C,) of the probabilities: the class's own, or the shared one for a class not calibrated."""
        return np.array([one.threshold for one in self._found(classnames)])

    def bands(self, classnames: Sequence[str]) -> tuple[Floats, Floats] | None:
        """``certain_below`` and ``certain_from``, (C,) each, as :meth:`thresholds`; None in format 1."""
        if self.certain_from is None:
            return None
        found = self._found(classnames)
        below, above = ([getattr(one, name) for one in found] for name in ("certain_below", "certain_from"))
        return np.array(below, dtype=np.float64), np.array(above, dtype=np.float64)

    def _found(self, classnames: Sequence[str]) -> list[ClassCalibration | Calibration]:
        known = places(classnames, [one.name for one in self.classes]).tolist()
        return [self.classes[place] if place >= 0 else self for place in known]


def places(names: Sequence[str], within: Sequence[str]) -> Ints:
    """Where each name stands in another list, without regard to case and underscores; -1 where it does not."""
    place = {plain_name(name): index for index, name in enumerate(within)}
    return np.array([place.get(plain_name(name), -1) for name in names], dtype=np.int64)


def write_calibration(folder: str | os.PathLike[str], calibration: Calibration) -> None:
    """Writes ``calibration.json`` into a prompt folder, atomically, and binds it to the prompt there.

    Raises:
        UserError: if the folder holds no prompt or cannot be written to.
    """
    bound = calibration.model_copy(update={"prompt": _prompt_hash(Path(folder))})
    write_json(Path(folder) / FILE_NAME, bound.model_dump(mode="json"))


def read_calibration(folder: str | os.PathLike[str]) -> Calibration | None:
    """The calibration of a prompt folder, checked; None where there is none.

    Raises:
        UserError: in one line, if the file is broken, newer than this package, or was made for another prompt.
    """
    path = Path(folder) / FILE_NAME
    if not path.exists():
        return None
    again = "; make it again with `clipprompt calibrate`"
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({error}){again}") from error
    layout = found.get("format") if isinstance(found, dict) else None
    if isinstance(layout, int) and layout > FORMAT:
        raise UserError(f"{path} has layout {layout}, this clipprompt reads up to {FORMAT}; update clipprompt")
    try:
        calibration = Calibration.model_validate_json(text)
    except ValidationError as error:
        raise UserError(f"{path}: {_describe(error)}{again}") from error
    if calibration.prompt != _prompt_hash(Path(folder)):
        raise UserError(f"{path} was made for another prompt than the one beside it{again}")
    return calibration


def warn_if_calibrated_elsewhere(folder: Path, calibration: Calibration, backbone: Backbone) -> None:
    """Says on stderr that a prompt, used with the backbone it was learnt on, was calibrated with another.

    A backbone that is not the prompt's own has been told of when the prompt was loaded.
    """
    fingerprint = backbone.fingerprint()
    if read_description(folder)["backbone"]["fingerprint"] == fingerprint != calibration.fingerprint:
        logging.getLogger("clipprompt").warning(
            "%s was made with another backbone or precision; make it again with `clipprompt calibrate`",
            folder / FILE_NAME,
        )


def _check_band(one: Banded) -> Banded:
    below, threshold, above = one.certain_below, one.threshold, one.certain_from
    if (below is None) != (above is None):
        raise ValueError("certain_below and certain_from come together")
    if below is not None and above is not None and not below <= threshold <= above:
        raise ValueError(f"certain_below {below:g}, threshold {threshold:g} and certain_from {above:g} do not rise")
    return one


def _each_once(value: T, names: Iterable[str]) -> T:
    if (twice := first_repeated(plain_name(name) for name in names)) is not None:
        raise ValueError(f"class {twice!r} is there twice")
    return value


def _prompt_hash(folder: Path) -> str:
    """16 hex digits of what decides a prompt's scores, apart from the backbone: method, options, weights."""
    description = read_description(folder)
    try:
        weights = (folder / WEIGHTS).read_bytes()
    except OSError as error:
        raise UserError(f"{folder / WEIGHTS} cannot be read: {error.strerror or error}") from error
    said = json.dumps([description["method"], description["options"]], sort_keys=True)
    return hashlib.sha256(said.encode() + weights).hexdigest()[:16]


def _describe(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        return f"key {key!r} is missing"
    if first["type"] == "extra_forbidden":
        return f"key {key!r} is not known"
    value: Any = first["input"]
    return f"{key or 'the file'}: {message}" + ("" if isinstance(value, list | dict) else f", not {value!r}")


def check_scores(scores: Reals, n_columns: int, what: str) -> None:
    """Checks shape and values of scores.

    Raises:
        UserError: if they are not (samples, ``n_columns``), or one is not finite.
    """
    if scores.ndim != 2 or scores.shape[1] != n_columns:
        raise UserError(f"scores {scores.shape} do not fit {n_columns} {what}: (samples, {n_columns}) is needed")
    if not np.isfinite(scores).all():
        row, column = np.argwhere(~np.isfinite(scores))[0]
        raise UserError(f"the score of sample {row} for class {column} is {scores[row, column]}; try --precision fp32")
