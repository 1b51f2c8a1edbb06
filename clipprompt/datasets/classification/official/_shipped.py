"""Class names that ship with the package, of sets whose own files hold numbers alone."""

from __future__ import annotations

from functools import cache
from typing import Any

from clipprompt._yaml import read_mapping
from clipprompt.resources import resource


def shipped_names(name: str) -> list[str]:
    """The class names of a task of VTAB, by label."""
    return list(_tasks()[name])


@cache
def _tasks() -> dict[str, Any]:
    return read_mapping(resource("configs/classnames/vtab.yaml"))
