"""The words that stand for a class: shipped lists, a user's synonym file, or plain class names."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from clipprompt.errors import UserError, nearest

SHIPPED = ("voc2007", "coco2014", "nuswide")
"""The class lists that come with the package."""


@dataclass(frozen=True)
class ClassEntry:
    """What a synonym file says about one class; the keys are those of the file (``not`` is ``blocked``).

    Attributes:
        name: the class name; it counts as a word unless ``alone`` or ``blocked`` has it too.
        words: phrases that name the class.
        alone: phrases that name it only as a noun of their own: "an orange on a plate", not "an orange cat".
        shared: phrases that name this class and others.
        blocked: phrases that contain one of its words and are not the class.
        also: names of classes that it implies.
        line: where the entry begins in its file; 0 without a file.
    """

    name: str
    words: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    line: int = 0


@dataclass(frozen=True)
class Vocabulary:
    """A class list with its words.

    Attributes:
        entries: one per class, in order; a label is an index into it.
        source: what error messages and provenance call it, such as ``coco2014`` or a file's path.
        sha256: of the file's bytes; None for a list made in Python.
    """

    entries: tuple[ClassEntry, ...]
    source: str = "class list"
    sha256: str | None = None

    @property
    def classnames(self) -> list[str]:
        """The class names in order."""
        return [entry.name for entry in self.entries]


def load_classes(classes: str | Path | list[str] | tuple[str, ...] | Vocabulary) -> Vocabulary:
    """Finds the words of a class list.

    Args:
        classes: a shipped list (`SHIPPED`), a synonym file (``.yaml``, ``.yml``), a text file with one class name a
            line (blank lines and lines that begin with ``#`` are skipped), or the names themselves.

    Raises:
        UserError: with the file, the line and what is wrong.
    """
    if isinstance(classes, Vocabulary):
        return classes
    if isinstance(classes, list | tuple):
        return from_names(classes)
    if str(classes) in SHIPPED:
        from clipprompt.resources import resource

        return _load_file(resource(f"synonyms/{classes}.yaml"), str(classes))
    return _load_file(Path(classes), str(classes))


def from_names(names: list[str] | tuple[str, ...], source: str = "class list") -> Vocabulary:
    """A vocabulary of bare names; their inflections are added by the matcher.

    Raises:
        UserError: for an empty list, an empty name or a name that stands there twice.
    """
    return check(Vocabulary(tuple(ClassEntry(name=name.strip()) for name in names), source))


def check(vocabulary: Vocabulary) -> Vocabulary:
    """Returns the vocabulary when it has classes, each with a name of its own.

    Raises:
        UserError: otherwise.
    """
    from clipprompt.captions._fold import fold_text, is_phrase

    if not vocabulary.entries:
        raise UserError(f"{vocabulary.source}: no classes in it; write one class name a line")
    seen: dict[bytes, ClassEntry] = {}
    for entry in vocabulary.entries:
        key = fold_text(entry.name)
        if not is_phrase(key):
            raise UserError(f"{where(vocabulary, entry)}: the class name {entry.name!r} has no word in it")
        if key in seen:
            first = seen[key]
            there = f"is already on line {first.line}" if entry.line else "is there twice"
            raise UserError(f"{where(vocabulary, entry)}: class {entry.name!r} {there}")
        seen[key] = entry
    return vocabulary


def where(vocabulary: Vocabulary, entry: ClassEntry) -> str:
    """``file:line`` of an entry, for messages."""
    return f"{vocabulary.source}:{entry.line}" if entry.line else vocabulary.source


def _load_file(path: Path, source: str) -> Vocabulary:
    data = _read(path, source)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"{source}:{line}: not UTF-8 text; save the file as UTF-8") from error
    if path.suffix.lower() in (".yaml", ".yml"):
        from clipprompt.captions._synonym_yaml import parse_entries

        entries = parse_entries(text, source)
    else:
        lines = [(n, line.strip()) for n, line in enumerate(text.splitlines(), 1)]
        entries = [ClassEntry(name=line, line=n) for n, line in lines if line and not line.startswith("#")]
    return check(Vocabulary(tuple(entries), source, hashlib.sha256(data).hexdigest()))


def _read(path: Path, source: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        lists = ", ".join(SHIPPED)
        hint = nearest(source, SHIPPED)
        raise UserError(f"no class list {source!r}{hint}; give one of {lists}, or a file that exists") from None
    except IsADirectoryError:
        raise UserError(f"{source} is a folder; --classes wants a synonym file or a text file") from None
    except OSError as error:
        raise UserError(f"cannot read {source}: {error.strerror or error}") from error
