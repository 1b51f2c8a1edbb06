"""Records from strangers: what a classification record must hold before a report believes it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from clipprompt._config_errors import describe_validation
from clipprompt.errors import UserError, nearest
from clipprompt.evaluation.classification_records import ClassificationRecord
from clipprompt.printable import printable, to_json
from clipprompt.reports.protocols.rows import PROTOCOLS

_Share = Annotated[float, Field(ge=0, le=1)]
_Count = Annotated[int, Field(ge=0)]
_Seconds = Annotated[float, Field(ge=0)]
_Name = Annotated[str, Field(min_length=1)]
_Subset = Literal["all", "base", "novel"]
# What types alone do not say. Any other key has the type that the record gives it.
_NARROWER: dict[str, Any] = {
    "accuracy": _Share,
    **dict.fromkeys(("class_split", "n_skipped", "peak_memory_bytes"), _Count),
    **dict.fromkeys(("method", "dataset", "split_hash", "class_hash"), _Name),
    **dict.fromkeys(("subset", "tested_subset"), _Subset),
    "part": Literal["train", "val", "test"],
    "shots": Annotated[int, Field(ge=1)] | None,
    "n_images": Annotated[int, Field(ge=1)],
    "per_class_accuracy": list[_Share | None],
    "setting": Literal["inductive", "transductive"],
    "training": dict[str, Any] | None,
    "train_seconds": _Seconds | None,
    "test_seconds": _Seconds,
}
_MULTILABEL: dict[str, Any] = {
    **dict.fromkeys(("row", "method", "branch", "dataset", "split_hash", "class_hash", "backbone", "precision"), _Name),
    "control": bool,
    "pretrained": str | None,
    "classnames": list[str],
    "n_images": _Count,
    "mean_average_precision": _Share,
    "average_precision": list[_Share | None],
    "normalise": Literal["none", "image", "prompt", "both"],
    "threshold": _Share,
    "probabilities": Literal["sigmoid", "calibrated", "given"] | None,
    "at_top3": dict[str, _Share],
    "at_threshold": dict[str, _Share] | None,
    "calibration_error": _Share | None,
}


def check_record(record: Mapping[str, Any], where: str) -> None:
    """Checks what a file holds before it is counted.

    Args:
        record: a line of it; keys that are not known are left alone.
        where: it stands, for the error.

    Raises:
        UserError: naming the place, the key, its value and what is allowed.
    """
    protocol = record.get("protocol")
    if protocol not in PROTOCOLS:
        known = f"it is not one of {', '.join(PROTOCOLS)}"
        hint = nearest(protocol, PROTOCOLS) if isinstance(protocol, str) else ""
        what = "is missing: no record of a protocol" if protocol is None else f"is {protocol!r}; {known}{hint}"
        raise UserError(f"{where}: key 'protocol' {what}")
    _check(record, where, _protocol())
    problem = _contradiction(record)
    if problem:
        raise UserError(f"{where}: {problem}")


def check_multilabel(record: Mapping[str, Any], where: str) -> None:
    """The same for a record of ``eval multilabel``: what its table reads.

    Raises:
        UserError: as :func:`check_record`.
    """
    _check(record, where, _multilabel())


def _check(record: Mapping[str, Any], where: str, model: type[BaseModel]) -> None:
    try:
        model.model_validate(dict(record))
        to_json(record)
    except ValidationError as error:
        raise UserError(f"{where}: {describe_validation(error, '', model)}") from error
    except ValueError as error:
        raise UserError(f"{where}: a number is not finite") from error


@cache
def _protocol() -> type[BaseModel]:
    return _model({key: _NARROWER.get(key, hint) for key, hint in get_type_hints(ClassificationRecord).items()})


@cache
def _multilabel() -> type[BaseModel]:
    return _model(_MULTILABEL)


def _model(types: Mapping[str, Any]) -> type[BaseModel]:
    fields: dict[str, Any] = {key: (hint, ...) for key, hint in types.items()}
    strict = ConfigDict(strict=True, allow_inf_nan=False)
    model: type[BaseModel] = create_model("Record", __config__=strict, **fields)
    return model


def _contradiction(record: Mapping[str, Any]) -> str:
    """What each key alone may say, and all of them together cannot."""
    n_classes, n_values = len(record["classnames"]), len(record["per_class_accuracy"])
    if n_classes != n_values:
        return f"per_class_accuracy has {n_values} values for {n_classes} classnames"
    if record["protocol"] == "base-to-novel" and record["tested_subset"] == "all":
        return "tested_subset is 'all', but base-to-novel tests base and novel classes"
    if record["protocol"] != "base-to-novel" and record["tested_subset"] != "all":
        return f"tested_subset is {record['tested_subset']!r}, but {record['protocol']} tests all classes"
    if record["protocol"] == "zero-shot" and record["trained_on"] is not None:
        return f"trained_on is {record['trained_on']!r}, but nothing is learnt in zero-shot"
    if record["trained_on"] is not None and record["seed"] is None:
        return f"what was learnt from {printable(record['trained_on'])} has no seed"
    return ""
