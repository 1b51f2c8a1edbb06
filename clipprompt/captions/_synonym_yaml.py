"""Reads a synonym file; every complaint has its line."""

from __future__ import annotations

from typing import Any

import yaml

from clipprompt.captions.synonyms import ClassEntry
from clipprompt.errors import UserError, nearest

# Keys of the file and the fields of ClassEntry that they fill.
_FIELDS = {"words": "words", "alone": "alone", "shared": "shared", "not": "blocked", "also": "also"}


def parse_entries(text: str, source: str) -> list[ClassEntry]:
    """The classes of a synonym file in file order.

    Raises:
        UserError: for broken YAML, a wrong type, an unknown key or an implied class that is not in the file.
    """
    root = _compose(text, source)
    if root is None:
        raise UserError(f"{source}: no classes in it; write one class name a line, each with a colon behind it")
    if not isinstance(root, yaml.MappingNode):
        raise UserError(f"{source}:{_line(root)}: class names must stand at the left edge, each with a colon behind it")
    entries = [_entry(key, value, source) for key, value in root.value]
    _check_implied(entries, source)
    return entries


def _compose(text: str, source: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        reason = "a tab; indent with spaces" if "\\t" in str(error.problem) else error.problem
        raise UserError(f"{source}:{line}: broken YAML: {reason}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{source}: broken YAML: {error}") from error


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _entry(key: yaml.Node, value: yaml.Node, source: str) -> ClassEntry:
    if not isinstance(key, yaml.ScalarNode):
        raise UserError(f"{source}:{_line(key)}: a class name must be plain text")
    name, line = str(key.value).strip(), _line(key)
    if isinstance(value, yaml.ScalarNode) and value.tag.endswith(":null"):
        return ClassEntry(name=name, line=line)
    if isinstance(value, yaml.SequenceNode):
        return ClassEntry(name=name, line=line, words=_phrases(value, f"{name!r}", source))
    if not isinstance(value, yaml.MappingNode):
        raise UserError(
            f"{source}:{_line(value)}: {name!r} has {value.value!r}; "
            f"write a list, {name}: [{value.value}], or the keys {', '.join(_FIELDS)}"
        )
    return ClassEntry(name=name, line=line, **_fields(name, value, source))


def _fields(name: str, node: yaml.MappingNode, source: str) -> dict[str, Any]:
    fields: dict[str, tuple[str, ...]] = {}
    for key_node, value in node.value:
        # YAML 1.1 would read a bare `no` or `on` as a truth value; the text as written is what counts here.
        key = str(key_node.value)
        if key not in _FIELDS:
            known = ", ".join(_FIELDS)
            hint = nearest(key, _FIELDS)
            raise UserError(f"{source}:{_line(key_node)}: {name!r} has the unknown key {key!r}{hint}; known: {known}")
        if _FIELDS[key] in fields:
            raise UserError(f"{source}:{_line(key_node)}: {name!r} has the key {key!r} twice")
        fields[_FIELDS[key]] = _phrases(value, f"{key!r} of {name!r}", source)
    return fields


def _phrases(node: yaml.Node, what: str, source: str) -> tuple[str, ...]:
    from clipprompt.captions._fold import fold_text, is_phrase

    if not isinstance(node, yaml.SequenceNode):
        raise UserError(f"{source}:{_line(node)}: {what} must be a list, such as [kitten, tabby cat]")
    phrases = []
    for item in node.value:
        if not isinstance(item, yaml.ScalarNode) or item.tag.endswith(":null"):
            raise UserError(f"{source}:{_line(item)}: {what} must be a list of phrases; one of them is not plain text")
        if not is_phrase(fold_text(str(item.value))):
            raise UserError(f"{source}:{_line(item)}: {what} has the phrase {item.value!r}, which has no word in it")
        phrases.append(str(item.value).strip())
    return tuple(phrases)


def _check_implied(entries: list[ClassEntry], source: str) -> None:
    names = [entry.name for entry in entries]
    for entry in entries:
        for implied in entry.also:
            if implied not in names:
                hint = nearest(implied, names)
                raise UserError(
                    f"{source}:{entry.line}: {entry.name!r} implies {implied!r}, which is no class of this file{hint}"
                )
