"""YAML as people type it: ``1e-4`` is a number, ``none`` is nothing, and a key that stands twice is an error."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from clipprompt.errors import UserError


class DuplicateKeyError(yaml.YAMLError):
    """A mapping has the same key twice; plain YAML would silently keep the last."""


class _Loader(yaml.SafeLoader):
    """The safe loader (no objects, no code) with YAML 1.2's numbers."""


_FLOAT = re.compile(r"^[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:none|None)$"), list("nN"))


def _construct_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    loader.flatten_mapping(node)
    found: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str | int | float | bool):
            raise yaml.YAMLError(f"line {key_node.start_mark.line + 1}: a key must be a word")
        if key in found:
            raise DuplicateKeyError(f"line {key_node.start_mark.line + 1}: key {key!r} stands twice")
        found[key] = loader.construct_object(value_node, deep=True)
    return found


_Loader.add_constructor("tag:yaml.org,2002:map", _construct_mapping)


def parse_yaml(text: str) -> Any:
    """Parses YAML text, safely: only numbers, words, lists and mappings come out.

    Raises:
        yaml.YAMLError: if the text is no YAML, or a key stands twice.
    """
    return yaml.load(text, Loader=_Loader)  # a subclass of SafeLoader: as safe as yaml.safe_load


def describe_yaml_error(error: yaml.YAMLError) -> str:
    """One line for a YAML error: where and what."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    return f"line {mark.line + 1}: {problem}" if mark is not None and problem else str(error)


def read_mapping(path: Path) -> dict[str, Any]:
    """Reads a YAML file of ``key: value`` lines; an empty file is an empty mapping.

    Raises:
        UserError: if it cannot be read, is no text, no YAML or no mapping.
    """
    try:
        tree = parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a text file in UTF-8") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {describe_yaml_error(error)}") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise UserError(f"{path} must hold 'key: value' lines, not a {type(tree).__name__}")
    return tree
