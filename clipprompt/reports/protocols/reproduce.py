"""The command that makes a sweep again, from the ``sweep.yaml`` in its folder."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from clipprompt._yaml import read_mapping

SWEEP = "sweep.yaml"
_LISTS = {
    "methods": "--methods",
    "datasets": "--datasets",
    "seeds": "--seeds",
    "shots": "--shots",
    "class_splits": "--class-splits",
    "known": "--known",
    "shares": "--shares",
}


def sweep_command(path: Path) -> str:
    """Such as ``clipprompt eval few-shot --methods coop --datasets dtd --seeds 1,2,3 --root DATA -o runs/a``.

    Args:
        path: of a ``sweep.yaml``.

    Raises:
        UserError: if it cannot be read.
    """
    request = read_mapping(path)
    return shlex.join(["clipprompt", "eval", str(request.get("protocol")), *_options(request), "-o", str(path.parent)])


def _options(request: Mapping[str, Any]) -> Iterator[str]:
    for key, option in _LISTS.items():
        values = request.get(key)
        if isinstance(values, list) and values and (key, values) != ("class_splits", [0]):
            yield from (option, ",".join("all" if value is None else str(value) for value in values))
    settings = request.get("settings")
    for setting in settings if isinstance(settings, list) else []:
        yield from ("--set", str(setting))
    for axis in request.get("grid") or []:
        yield from ("--grid", str(axis))
    if request.get("searches") is False:
        yield "--no-grid"
    for key in ("source", "captions"):
        if request.get(key):
            yield from (f"--{key}", str(request[key]))
    if request.get("part", "test") != "test":
        yield from ("--part", str(request["part"]))
    if request.get("root"):
        yield from ("--root", str(request["root"]))
