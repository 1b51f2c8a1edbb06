"""Records from strangers: what a record of a protocol must hold before a report believes it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model

from clipprompt._config_errors import describe_validation
from clipprompt.errors import UserError, nearest
from clipprompt.evaluation.job_tests.one_class_records import ClassificationRecord
from clipprompt.evaluation.job_tests.records import ProtocolRecord
from clipprompt.evaluation.job_tests.tuning_records import TuningRecord
from clipprompt.printable import to_json
from clipprompt.reports.protocols._contradictions import contradiction
from clipprompt.reports.protocols.columns import MULTILABEL, PROTOCOLS, SINGLE_POSITIVE, TUNING

_Share = Annotated[float, Field(ge=0, le=1)]
_Count = Annotated[int, Field(ge=0)]
_Seconds = Annotated[float, Field(ge=0)]
_Name = Annotated[str, Field(min_length=1)]


def _check_f1(found: dict[str, float]) -> dict[str, float]:
    if lacking := sorted({"CF1", "OF1"} - found.keys()):
        raise ValueError(f"lacks {' and '.join(lacking)}")
    return found


def _check_known(known: float | str | None) -> float | str | None:
    if known not in (None, SINGLE_POSITIVE) and (isinstance(known, str) or not 0 < known <= 1):
        raise ValueError(f"should be a share of the labels, such as 0.1, {SINGLE_POSITIVE!r} or null")
    return known


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
_F1 = Annotated[dict[str, _Share], AfterValidator(_check_f1)]
# What records of several classes a picture have beside those of one: the types are those of MultiLabelTestRecord, which
# imports torch.
SEVERAL_CLASSES: dict[str, Any] = {
    "mean_average_precision": _Share,
    "average_precision": list[_Share | None],
    "n_positive": list[_Count],
    "at_top3": _F1,
    "threshold": _Share,
    "at_threshold": _F1 | None,
    "probabilities": Literal["sigmoid", "calibrated", "given"] | None,
    "calibration_error": _Share | None,
    "dataset_options": dict[str, str],
    "learns_from": Literal["images", "captions", "both", "nothing"],
    "corpus": _Name | None,
    "known": Annotated[float | str | None, AfterValidator(_check_known)],
    "branch": _Name,
    "members": list[_Name],
    "weights": list[_Share],
    "weights_by": _Name | None,
}
_STRICT = ConfigDict(strict=True, allow_inf_nan=False)


class _Point(BaseModel):
    """See :class:`GridPoint`."""

    model_config = _STRICT
    settings: dict[str, Any]
    accuracy: _Share | None


class _Grid(BaseModel):
    """See :class:`Grid`; pydantic reads no ``typing.TypedDict`` below Python 3.12."""

    model_config = _STRICT
    chosen: dict[str, Any]
    accuracy: _Share
    seed: int
    points: Annotated[list[_Point], Field(min_length=1)]


_OF_TUNING: dict[str, Any] = {
    "learner": _Name,
    "group": Literal["fgvc", "natural", "specialized", "structured"] | None,
    "n_parameters": _Count,
    "backbone_parameters": Annotated[int, Field(ge=1)],
    "n_train": _Count,
    "share": Annotated[float, Field(gt=0, le=1)] | None,
    "grid": _Grid | None,
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
    _check(record, where, _protocol(protocol))
    problem = contradiction(record)
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
def _protocol(name: str) -> type[BaseModel]:
    one_class = TuningRecord if name == TUNING else ClassificationRecord
    hints = get_type_hints(ProtocolRecord if name in MULTILABEL else one_class)
    narrower = _NARROWER | (_OF_TUNING if name == TUNING else {})
    narrowed = {key: narrower.get(key, hint) for key, hint in hints.items()}
    return _model(narrowed | SEVERAL_CLASSES if name in MULTILABEL else narrowed)


@cache
def _multilabel() -> type[BaseModel]:
    return _model(_MULTILABEL)


def _model(types: Mapping[str, Any]) -> type[BaseModel]:
    fields: dict[str, Any] = {key: (hint, ...) for key, hint in types.items()}
    model: type[BaseModel] = create_model("Record", __config__=_STRICT, **fields)
    return model
