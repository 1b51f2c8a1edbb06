"""Labelling captions: the original pipeline's steps against one automaton, on the same captions and classes.

The original tokenises with NLTK, tags, lemmatises the nouns with WordNet and looks the names up. What of that can
run depends on NLTK's data: the tagger's weights and WordNet are downloads. A step whose data is missing is left
out, so that the ratio can only be too small; the tagger's is also run with weights trained here, which is the same
code at the same work per word.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tools.bench._measure import SHARED, Row, compare

CLASSES = "coco2014"
_CAPTIONS = SHARED / "data" / "captions_val2017.json"

Tagger = Callable[[Sequence[str]], list[tuple[str, str]]]


def rows(n_captions: int = 25_000) -> list[Row]:
    """One row per form of the original pipeline that can run here."""
    source = "COCO val2017" if _CAPTIONS.exists() else "made up"
    made = []
    for steps, missing in _pipelines():
        note = f"{n_captions:,} captions ({source}), 80 COCO classes, one process each"
        made.append(
            compare(
                f"label captions: {' + '.join(steps)}",
                partial(_plain, n_captions, steps),
                partial(_ours, n_captions),
                (1, 15),
                f"{note}; {missing}" if missing else note,
            )
        )
    return made


def _pipelines() -> list[tuple[tuple[str, ...], str]]:
    tagger, wordnet = _has("taggers/averaged_perceptron_tagger_eng"), _has("corpora/wordnet")
    if tagger and wordnet:
        return [(("tokenise", "tag", "lemmatise", "search"), "")]
    if tagger:
        return [(("tokenise", "tag", "search"), "lemmatising left out, WordNet's data is not installed")]
    left_out = "lemmatising left out" if not wordnet else "lemmatising left out with the tags that it needs"
    return [
        (("tokenise", "search"), f"tagging and {left_out}: NLTK's data is not installed"),
        (
            ("tokenise", "tag (own weights)", "search"),
            f"{left_out}; NLTK's tagger with weights trained in the run, its published ones are not installed",
        ),
    ]


def _has(resource: str) -> bool:
    import nltk

    try:
        nltk.data.find(resource)
    except LookupError:
        return False
    return True


def load_captions(n_captions: int) -> list[str]:
    """COCO's captions where they are at hand, otherwise sentences of the same length made from a few words."""
    if _CAPTIONS.exists():
        captions = [a["caption"] for a in json.loads(_CAPTIONS.read_text("utf-8"))["annotations"]]
        return (captions * (n_captions // len(captions) + 1))[:n_captions]
    rng = random.Random(0)
    words = [
        "a",
        "man",
        "dog",
        "red",
        "bus",
        "on",
        "the",
        "street",
        "two",
        "cats",
        "near",
        "wooden",
        "table",
        "holding",
    ]
    return [" ".join(rng.choices(words, k=10)).capitalize() + "." for _ in range(n_captions)]


def _ours(n_captions: int) -> Callable[[], object]:
    from clipprompt.captions.matcher import Matcher

    captions, matcher = load_captions(n_captions), Matcher(CLASSES)
    return partial(matcher.label, captions)


def _plain(n_captions: int, steps: tuple[str, ...]) -> Callable[[], object]:
    from nltk.tokenize import NLTKWordTokenizer

    from clipprompt.captions.synonyms import load_classes

    captions, names = load_captions(n_captions), load_classes(CLASSES).classnames
    tokenise, tag, lemma = NLTKWordTokenizer().tokenize, _tagger(steps, captions), _lemmatiser(steps)

    def label() -> list[list[int]]:
        result = []
        for caption in captions:
            words: Sequence[str] = tokenise(caption.lower())
            if tag is not None:
                words = [lemma(word) if kind.startswith("NN") else word for word, kind in tag(words)]
            text = f" {' '.join(words)} "
            result.append([i for i, name in enumerate(names) if f" {name} " in text])
        return result

    return label


def _tagger(steps: tuple[str, ...], captions: Sequence[str]) -> Tagger | None:
    from nltk.tag import PerceptronTagger

    if "tag" in steps:
        return _tag_with(PerceptronTagger())
    return _tag_with(_trained_tagger(captions[:1000])) if "tag (own weights)" in steps else None


def _tag_with(tagger: Any) -> Tagger:
    def tag(words: Sequence[str]) -> list[tuple[str, str]]:
        return list(tagger.tag(list(words)))

    return tag


def _trained_tagger(captions: Sequence[str]) -> Any:
    """NLTK's tagger taught by a handful of rules: useless tags, but its full work for every word."""
    from nltk.tag import PerceptronTagger, RegexpTagger
    from nltk.tokenize import NLTKWordTokenizer

    rules = [(r"(?i)(a|an|the|some|two)$", "DT"), (r"(?i)(of|on|in|at|with|by|to|near)$", "IN"), (r".*ing$", "VBG")]
    rules += [(r".*ed$", "VBD"), (r"(is|are|has)$", "VBZ"), (r".*s$", "NNS"), (r"(and|or)$", "CC"), (r".*", "NN")]
    tokenise = NLTKWordTokenizer().tokenize
    tagger = PerceptronTagger(load=False)
    tagger.train([RegexpTagger(rules).tag(tokenise(caption)) for caption in captions], nr_iter=2)
    return tagger


def _lemmatiser(steps: tuple[str, ...]) -> Callable[[str], str]:
    if "lemmatise" not in steps:
        return str
    from nltk.stem import WordNetLemmatizer

    lemmatise: Callable[[str], str] = WordNetLemmatizer().lemmatize
    return lemmatise
