"""The grid of a method: which settings are tried, from the protocol's file and from ``--grid`` of a request.

    grid: [{methods: [linear], per_batch: 256, over: {train.lr: [1.0, 0.1], train.weight_decay: [0.01, 0.0]}}]
    --grid train.lr=0.5,0.05 --grid vpt-deep:learner.n_ctx=10,50

An axis of a request stands in place of the file's of the same key, or beside the others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import yaml

from clipprompt._yaml import parse_yaml
from clipprompt.config import RunConfig, describe_config
from clipprompt.errors import UserError, nearest
from clipprompt.evaluation.protocols._settings import settings_of
from clipprompt.evaluation.protocols._yaml import Search
from clipprompt.evaluation.protocols.jobs import Job, Test
from clipprompt.evaluation.protocols.methods import Method

_SEARCHED = ("learner.", "train.")
_LEFT_OUT = ("train.seed", "train.devices")
_LR = "train.lr"


@dataclass(frozen=True)
class Axis:
    """One ``--grid`` of a request.

    Attributes:
        text: as it was given.
        method: variant that it is for; empty for all that search this key.
        key: of the configuration, or its last part.
        values: to try.
    """

    text: str
    method: str
    key: str
    values: tuple[Any, ...]


def parse_axis(text: str) -> Axis:
    """Reads ``KEY=V1,V2`` or ``METHOD:KEY=V1,V2``.

    Raises:
        UserError: if it is of another form, or has a value twice.
    """
    name, equals, given = text.partition("=")
    method, _, key = name.rpartition(":")
    parts = [part.strip() for part in given.split(",")]
    if not equals or not key.strip() or not all(parts):
        raise UserError(f"--grid {text!r} is not of the form KEY=VALUES, such as train.lr=0.1,0.01")
    try:
        values = tuple(parse_yaml(part) for part in parts)
    except yaml.YAMLError as error:
        raise UserError(f"--grid {text!r} has values that cannot be read; give them as in train.lr=0.1,0.01") from error
    if len({json.dumps(value) for value in values}) < len(values):
        raise UserError(f"--grid {text!r} has a value twice")
    return Axis(text, method.strip(), key.strip(), values)


def check_axes(given: Sequence[Axis], searches: Sequence[Search], methods: Sequence[Method]) -> None:
    """Finds an axis that no method has a use for.

    Raises:
        UserError: with what to give in its place.
    """
    names = [method.spelling for method in methods]
    for axis in given:
        if axis.method and axis.method not in names:
            raise UserError(f"--grid {axis.text} is for {axis.method!r}{nearest(axis.method, names)}, which is not run")
        if not axis.method and not any(_axis_of(axis.key, _axes(method, searches)) for method in methods):
            example = f"{names[0]}:{axis.key}" if names else axis.key
            raise UserError(
                f"--grid {axis.text}: no method that is run searches {axis.key}; name one: --grid {example}=…"
            )


def points_of(
    method: Method, searches: Sequence[Search], given: Sequence[Axis], config: RunConfig, settings: Sequence[str]
) -> list[tuple[str, ...]]:
    """Every combination of settings that is tried, as ``key=value``; none where nothing is searched.

    Args:
        method: a variant.
        searches: of the protocol.
        given: of the request.
        config: of the method without a search.
        settings: of the request.

    Raises:
        UserError: for an axis that the method does not have, and for a setting that is given and searched.
    """
    axes = {
        key: [_for_batch(value, search, config) if key == _LR else value for value in values]
        for search in searches
        if method.family in search.methods
        for key, values in search.over.items()
    }
    for axis in given:
        key = _axis_of(axis.key, axes)
        if axis.method == method.spelling:
            axes[key or _full(axis, method)] = list(axis.values)
        elif not axis.method and key is not None:
            axes[key] = list(axis.values)
    _check_given(axes, method, settings)
    told = [[f"{key}={json.dumps(value, ensure_ascii=False)}" for value in values] for key, values in axes.items()]
    return list(product(*told)) if axes else []


def search_jobs(final: Job, points: Sequence[tuple[str, ...]], seed: int) -> Iterator[Job]:
    """The jobs that try the points of a grid, and last the one that takes the best of them.

    A point is learnt from train and tested on val.

    Args:
        final: which takes the best.
        points: of :func:`points_of`; none for that job alone.
        seed: of all points.
    """
    test = Test(final.dataset, final.subset, "val")
    plain = replace(final, seed=seed, with_val=False, tests=(test,))
    tried = [replace(plain, settings=(*final.settings, *point), point=point) for point in points]
    yield from tried
    yield replace(final, grid=tuple(job.name for job in tried))


def _axes(method: Method, searches: Sequence[Search]) -> Mapping[str, Any]:
    return {key: values for one in searches if method.family in one.methods for key, values in one.over.items()}


def _axis_of(key: str, axes: Mapping[str, Any]) -> str | None:
    """The axis that is meant by a key or its last part."""
    return next((axis for axis in axes if key in (axis, axis.rpartition(".")[2])), None)


def _full(axis: Axis, method: Method) -> str:
    known = [key for key, *_ in describe_config(method.learner) if key.startswith(_SEARCHED) and key not in _LEFT_OUT]
    fits = [key for key in known if axis.key in (key, key.rpartition(".")[2])]
    if len(fits) != 1:
        hint = nearest(axis.key, known) or nearest(axis.key, [key.rpartition(".")[2] for key in known])
        raise UserError(f"--grid {axis.text}: {method.spelling} has no setting {axis.key!r}{hint} that can be searched")
    return fits[0]


def _for_batch(value: float, search: Search, config: RunConfig) -> float:
    """A learning rate by the linear rule: for so many pictures at a step."""
    if search.per_batch is None:
        return value
    return float(f"{value * config.train.batch_size / search.per_batch:.10g}")


def _check_given(axes: Mapping[str, Any], method: Method, settings: Sequence[str]) -> None:
    for setting in settings_of(method.spelling, settings):
        key = _axis_of(setting.partition("=")[0].strip(), axes)
        if key is not None:
            raise UserError(
                f"setting {setting!r}: {key} is searched for {method.spelling}; "
                f"give --grid {key}=VALUES in its place, or --no-grid"
            )
