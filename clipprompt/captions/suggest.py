"""Suggests synonyms for a class list of the user's own, from NLTK's WordNet."""

from __future__ import annotations

from typing import Any

from clipprompt.captions._fold import fold_text
from clipprompt.captions.synonyms import SHIPPED, Vocabulary
from clipprompt.errors import UserError

INSTALL = "python -m nltk.downloader wordnet"


def load_wordnet() -> Any:
    """NLTK's WordNet reader.

    Raises:
        UserError: when its data is not installed; the message says how to install it.
    """
    from nltk.corpus import wordnet

    try:
        wordnet.ensure_loaded()
    except LookupError as error:
        raise UserError(f"WordNet's data is not installed; install it with: {INSTALL}") from error
    return wordnet


def suggest_synonyms(vocabulary: Vocabulary, wordnet: Any) -> dict[str, list[str]]:
    """Words of the same meaning, and of narrower ones, for each class name.

    Args:
        vocabulary: the class names.
        wordnet: `load_wordnet`, or anything with its ``synsets(name, pos)``.

    Returns:
        Class name to phrases. A phrase that would name several classes is left out; so is what the name says already.
    """
    found = {name: _narrower(name, wordnet) for name in vocabulary.classnames}
    names = {fold_text(name) for name in found}
    owners: dict[bytes, int] = {}
    for phrases in found.values():
        for key in {fold_text(phrase) for phrase in phrases}:
            owners[key] = owners.get(key, 0) + 1
    return {
        name: [phrase for phrase in phrases if owners[fold_text(phrase)] == 1 and fold_text(phrase) not in names]
        for name, phrases in found.items()
    }


def write_suggestions(suggestions: dict[str, list[str]]) -> str:
    """A synonym file with the suggestions, for the user to prune."""
    import yaml

    lines = [
        "# Suggested by WordNet from the first noun sense of each name. Prune it: a phrase that is no such thing, or",
        "# that means something else in your captions, costs more than it gives. docs/captions.md explains the keys;",
        f"# the shipped lists ({', '.join(SHIPPED)}) are examples.",
        "",
    ]
    for name, phrases in suggestions.items():
        entry = {name: {"words": phrases} if phrases else None}
        style = None if phrases else False  # None keeps the list on one line, and would put {} round an empty entry
        text = yaml.safe_dump(entry, default_flow_style=style, allow_unicode=True, width=110, sort_keys=False)
        lines.append(text.replace(": null\n", ":\n"))
    return "\n".join(lines)


def _narrower(name: str, wordnet: Any) -> list[str]:
    """Lemmas of the name's first noun sense and of everything below it.

    The whole name is looked up: the head noun of "wine rack" alone would bring instruments of torture.
    """
    return _lemmas(wordnet.synsets("_".join(_tokens(name)), pos="n")[:1], name)


def _tokens(name: str) -> list[str]:
    from nltk.tokenize import NLTKWordTokenizer

    return [token.lower() for token in NLTKWordTokenizer().tokenize(name.replace("_", " "))]


def _lemmas(senses: list[Any], name: str) -> list[str]:
    phrases: dict[bytes, str] = {}
    for sense in [s for root in senses for s in (root, *root.closure(lambda s: s.hyponyms()))]:
        for lemma in sense.lemma_names():
            phrase = lemma.replace("_", " ")
            phrases.setdefault(fold_text(phrase), phrase)
    phrases.pop(fold_text(name), None)
    phrases.pop(b"", None)
    return list(phrases.values())
