"""Reads a JSON file of any size one record at a time.

The standard library's decoder runs over a window of the text that moves on as records are taken from it, so that
memory holds one window and not the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from clipprompt.errors import UserError, nearest

_DECODER = json.JSONDecoder()
_SPACE = " \t\n\r"
LARGEST_VALUE = 1 << 26
"""Characters that one value may have before it counts as broken; a record has a few hundred."""


def records(chunks: Iterator[str], name: str, key: str = "annotations") -> Iterator[Any]:
    """The elements of the list under ``key`` of the top object, or of a top list.

    Args:
        chunks: the text of the file in pieces.
        name: the file's name for messages.
        key: where the records are.

    Raises:
        UserError: for broken JSON or a missing list, with line and column.
    """
    window = _Window(chunks, name)
    if window.peek() == "[":
        yield from window.items()
    elif window.peek() == "{":
        yield from _list_of_object(window, name, key)
    else:
        raise window.broken("it must begin with { or [")
    if window.peek():
        raise window.broken("more text behind its end; if each line is a record, call the file .jsonl")


def _list_of_object(window: _Window, name: str, key: str) -> Iterator[Any]:
    keys = []
    for found in window.fields():
        keys.append(found)
        if found == key and window.peek() == "[":
            yield from window.items()
        elif window.peek() == "[":
            for _ in window.items():
                pass
        else:
            window.value()
    if key not in keys:
        has = ", ".join(map(str, keys[:12])) or "nothing"
        raise UserError(f"{name}: no list {key!r} in it{nearest(key, keys)}; it has {has}")


class _Window:
    """A piece of the text with a reading position."""

    def __init__(self, chunks: Iterator[str], name: str) -> None:
        self._chunks, self._name = chunks, name
        self._text, self._at = "", 0
        self._line, self._column = 1, 1

    def peek(self) -> str:
        """The next character that is no white space; empty at the end of the file."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _SPACE:
                    return self._text[self._at]
                self._at += 1
            if not self._fill():
                return ""

    def value(self) -> Any:
        """Takes one whole JSON value."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                # An error at the window's edge may only mean that the value goes on behind it.
                edge = error.msg.startswith("Unterminated string") or error.pos > len(self._text) - 16
                if len(self._text) - self._at > LARGEST_VALUE or not edge or not self._fill():
                    raise self.broken(error.msg, min(error.pos, len(self._text))) from error
                continue
            except RecursionError as error:
                raise self.broken("nested too deeply") from error
            if end == len(self._text) and self._fill():
                continue
            self._at = end
            return value

    def items(self) -> Iterator[Any]:
        """Takes a list, element by element."""
        self._take("[")
        if self.peek() == "]":
            self._at += 1
            return
        while True:
            yield self.value()
            if self._next_or_end("]"):
                return

    def fields(self) -> Iterator[str]:
        """Takes an object, key by key; the caller takes the value of each before it asks for the next."""
        self._take("{")
        if self.peek() == "}":
            self._at += 1
            return
        while True:
            if self.peek() != '"':
                raise self.broken("a key in double quotes is missing")
            key = self.value()
            self._take(":")
            yield key
            if self._next_or_end("}"):
                return

    def broken(self, reason: str, at: int | None = None) -> UserError:
        """The error for a place in the window, the reading position when none is given."""
        before = self._text[: self._at if at is None else at]
        line = self._line + before.count("\n")
        column = len(before) - before.rfind("\n") if "\n" in before else self._column + len(before)
        end = " (the file ends there)" if len(before) == len(self._text) else ""
        return UserError(f"{self._name}: broken JSON in line {line}, character {column}: {reason}{end}")

    def _next_or_end(self, closing: str) -> bool:
        char = self.peek()
        if char not in (",", closing) or not char:
            raise self.broken(f"expected , or {closing}")
        self._at += 1
        return char == closing

    def _take(self, char: str) -> None:
        if self.peek() != char:
            raise self.broken(f"expected {char}")
        self._at += 1

    def _fill(self) -> bool:
        """Drops what was read and appends more text; doubling keeps a long value from being scanned too often."""
        done, rest = self._text[: self._at], self._text[self._at :]
        self._line += done.count("\n")
        self._column = len(done) - done.rfind("\n") if "\n" in done else self._column + len(done)
        pieces, wanted = [rest], max(len(rest), 1)
        while wanted > 0 and (piece := next(self._chunks, "")):
            pieces.append(piece)
            wanted -= len(piece)
        self._text, self._at = "".join(pieces), 0
        return len(pieces) > 1
