"""From a vocabulary to the one table of phrases that the automaton searches.

Within a class a phrase that is written beats the name, and the name beats a form made by inflection. Between
classes a written phrase beats an inflected one; a phrase written in two classes must be `shared` in both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from clipprompt.captions._fold import fold_text, words_of
from clipprompt.captions._inflect import plurals, singulars
from clipprompt.captions.synonyms import ClassEntry, Vocabulary, where
from clipprompt.errors import UserError


@dataclass(frozen=True)
class Meaning:
    """What a matched phrase says: classes that it names, and classes that it names only as a noun of its own."""

    labels: frozenset[int] = frozenset()
    alone: frozenset[int] = frozenset()


@dataclass(frozen=True)
class _Form:
    kind: str  # a field of ClassEntry: words, alone, shared or blocked
    rank: int  # 2 written, 1 the class name, 0 made by inflection
    text: str


def phrase_table(vocabulary: Vocabulary) -> dict[bytes, Meaning]:
    """Folded phrase to meaning, for all classes of a vocabulary.

    Raises:
        UserError: when a class contradicts itself or two classes write the same phrase without sharing it.
    """
    forms = [_forms_of(entry, vocabulary) for entry in vocabulary.entries]
    table = _claims(forms, vocabulary)
    _add_blocked(table, blocking_classes(vocabulary))
    _add_continuations(table)
    implied = _implied(vocabulary)
    return {key: _close(meaning, implied) for key, meaning in table.items()}


def blocking_classes(vocabulary: Vocabulary) -> dict[bytes, frozenset[int]]:
    """Folded phrase under ``not`` to the classes that it silences."""
    blocked: dict[bytes, set[int]] = {}
    for label, entry in enumerate(vocabulary.entries):
        for key, form in _forms_of(entry, vocabulary).items():
            if form.kind == "blocked":
                blocked.setdefault(key, set()).add(label)
    return {key: frozenset(labels) for key, labels in blocked.items()}


def _forms_of(entry: ClassEntry, vocabulary: Vocabulary) -> dict[bytes, _Form]:
    forms: dict[bytes, _Form] = {}
    for kind in ("words", "alone", "shared", "blocked"):
        for phrase in getattr(entry, kind):
            key, form = fold_text(phrase), _Form(kind, 2, phrase)
            if forms.get(key, form).kind != kind:
                first, second = (_key(k) for k in (forms[key].kind, kind))
                place = where(vocabulary, entry)
                raise UserError(f"{place}: {entry.name!r} has {phrase!r} under {first!r} and {second!r}; keep one")
            forms[key] = form
    name = fold_text(entry.name)
    if name not in forms:
        forms[name] = _Form("words", 1, entry.name)
        for other in (*plurals(entry.name.lower()), *singulars(entry.name.lower())):
            forms.setdefault(fold_text(other), _Form("words", 0, other))
    for form in [form for form in forms.values() if form.rank == 2]:
        for other in plurals(form.text.lower()):
            forms.setdefault(fold_text(other), _Form(form.kind, 0, other))
    return forms


def _key(kind: str) -> str:
    return "not" if kind == "blocked" else kind


def _claims(forms: list[dict[bytes, _Form]], vocabulary: Vocabulary) -> dict[bytes, Meaning]:
    claims: dict[bytes, list[tuple[int, _Form]]] = {}
    for label, own in enumerate(forms):
        for key, form in own.items():
            if form.kind != "blocked":
                claims.setdefault(key, []).append((label, form))
    table = {}
    for key, owners in claims.items():
        # Made forms give way to written ones: "glasses" of one class to the class that says "glasses" itself.
        kept = [claim for claim in owners if claim[1].rank > 0] or owners
        _check_shared(kept, vocabulary)
        alone = frozenset(label for label, form in kept if form.kind == "alone")
        table[key] = Meaning(frozenset(label for label, _ in kept) - alone, alone)
    return table


def _check_shared(owners: list[tuple[int, _Form]], vocabulary: Vocabulary) -> None:
    if len(owners) < 2 or all(form.kind == "shared" or form.rank == 0 for _, form in owners):
        return
    first, second = (vocabulary.entries[label] for label, _ in owners[:2])
    raise UserError(
        f"{where(vocabulary, second)}: {owners[0][1].text!r} belongs to {first.name!r} (line {first.line}) and to "
        f"{second.name!r}; drop it from one, or write it under 'shared' in both"
    )


def _add_blocked(table: dict[bytes, Meaning], blocked: dict[bytes, frozenset[int]]) -> None:
    """Adds the phrases under ``not``: each silences its own class, other classes inside it still count."""
    # Shorter ones first, so that a longer one finds them in the table.
    for key in sorted(blocked.keys() - table.keys(), key=lambda key: (len(words_of(key)), key)):
        inside = frozenset[int]().union(*(meaning.labels for meaning in _scan(key, table)))
        table[key] = Meaning(inside - blocked[key])


def _add_continuations(table: dict[bytes, Meaning]) -> None:
    """Keeps "an orange" under ``alone`` from hiding "orange slice", which begins one word later."""
    by_start: dict[bytes, list[list[bytes]]] = {}
    for key in table:
        words = words_of(key)
        by_start.setdefault(words[0], []).append(words)
    for key in [key for key, meaning in table.items() if meaning.alone]:
        first = words_of(key)
        for i in range(1, len(first)):
            tail = len(first) - i
            for words in by_start.get(first[i], []):
                if len(words) > tail and words[:tail] == first[i:]:
                    table.setdefault(_join([*first[:i], *words]), table[_join(words)])


def _join(words: list[bytes]) -> bytes:
    return b" " + b"  ".join(words) + b" "


def _scan(folded: bytes, table: dict[bytes, Meaning]) -> Iterator[Meaning]:
    """Leftmost-longest meanings in a short text, by plain look-up."""
    words = words_of(folded)
    start = 0
    while start < len(words):
        for end in range(len(words), start, -1):
            meaning = table.get(_join(words[start:end]))
            if meaning is not None:
                yield meaning
                start = end
                break
        else:
            start += 1


def _implied(vocabulary: Vocabulary) -> list[frozenset[int]]:
    """For each class the classes that follow from it, itself included, over any number of steps."""
    index = {entry.name: i for i, entry in enumerate(vocabulary.entries)}
    result = []
    for label in range(len(vocabulary.entries)):
        reached, waiting = {label}, [label]
        while waiting:
            new = {index[name] for name in vocabulary.entries[waiting.pop()].also} - reached
            reached |= new
            waiting += new
        result.append(frozenset(reached))
    return result


def _close(meaning: Meaning, implied: list[frozenset[int]]) -> Meaning:
    empty = frozenset[int]()
    labels = empty.union(*(implied[i] for i in meaning.labels))
    return Meaning(labels, empty.union(*(implied[i] for i in meaning.alone)) - labels)
