"""A pydantic error as the one line that a user can act on: key, value, what is allowed, the nearest name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from clipprompt.errors import nearest


def describe_validation(error: ValidationError, section: str, root: type[BaseModel]) -> str:
    """Puts the first problem of ``error`` into words.

    Args:
        error: raised by validating ``root``.
        section: dotted prefix of the keys, such as ``learner.``, or empty.
        root: the model that was validated; knows which keys are allowed.

    Returns:
        One line without the name of the file.
    """
    errors = error.errors(include_url=False)
    first = errors[0]
    names, allowed, description = _walk([str(part) for part in first["loc"]], root)
    key = section + ".".join(names)
    if first["type"] == "extra_forbidden":
        return f"unknown key {key!r}{nearest(names[-1], allowed)}; allowed here: {', '.join(allowed)}"
    if first["type"] == "missing":
        return f"key {key!r} is missing"
    value = first["input"]
    same = [one for one in errors if _walk([str(part) for part in one["loc"]], root)[0] == names]  # others of a union
    words = [word for one in same for word in _literals(one.get("ctx", {}))]
    hint = nearest(value, words) if isinstance(value, str) else ""
    expected = dict.fromkeys(_expected(one["type"], one["msg"], description) for one in same)
    either = " or ".join(expected).replace(" or should be ", " or ")
    return f"{key} is {_shown(value)}, but it {either}{hint}"


def _walk(parts: list[str], root: type[BaseModel]) -> tuple[list[str], list[str], str]:
    # The dotted key without pydantic's own path through unions; the keys beside it; its description.
    model: type[BaseModel] | None = root
    names, allowed, description = list[str](), list[str](), ""
    n_inner = 0
    for part in parts:
        if model is None:
            break
        names.append(part)
        if n_inner:  # a name or a number, of a mapping or a list of models
            n_inner -= 1
            continue
        allowed = list(model.model_fields)
        field = model.model_fields.get(part)
        description = (field.description or "") if field is not None else ""
        model, n_inner = _model_in(field.annotation if field is not None else None)
    return names, allowed, description


def _model_in(annotation: Any) -> tuple[type[BaseModel] | None, int]:
    """The model that a field holds, if it has a value, and in how many mappings and lists it is."""
    depth = 0
    if get_origin(annotation) in (Union, UnionType):
        values = [one for one in get_args(annotation) if one is not type(None)]
        annotation = values[0] if len(values) == 1 else None
    while get_origin(annotation) in (dict, list):
        annotation, depth = get_args(annotation)[-1], depth + 1
    is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return (annotation, depth) if is_model else (None, 0)


def _expected(kind: str, message: str, description: str) -> str:
    if kind == "string_pattern_mismatch":
        return f"should be {description}"
    if kind in ("model_type", "dict_type"):
        return "should hold keys of its own"
    return re.sub(r"^(Value error, |\w+ (?=should ))", "", message)


def _literals(context: Mapping[str, Any]) -> list[str]:
    expected = str(context.get("expected", "")).replace(" or ", ",")
    return [word.strip("' ") for word in expected.split(",") if word.strip()]


def _shown(value: Any) -> str:
    text = "none" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
