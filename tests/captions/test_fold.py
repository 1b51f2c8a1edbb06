"""The normal form of text: whole words with a space on either side."""

from __future__ import annotations

import random

import pytest

from clipprompt.captions._fold import BREAK, CAPTION_END, fold_block, fold_text, is_phrase, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hot-Dog", ["hot", "dog"]),
        ("the dog's ball", ["the", "dog", "s", "ball"]),
        ("the dog’s ball", ["the", "dog", "s", "ball"]),
        ("a “stop” sign", ["a", "stop", "sign"]),
        ("fire_hydrant", ["fire", "hydrant"]),
        ("tabs\tand\nlines\r\n", ["tabs", "and", "lines"]),
        ("café CAFÉ cafe\u0301", ["café"] * 3),
        ("STRASSE straße", ["strasse", "strasse"]),
        ("two—three", ["two", "three"]),
        ("soft\u00adhyphen zero\u200bwidth", ["softhyphen", "zerowidth"]),
        ("ﬁre", ["fire"]),
        ("日本 犬", ["日本", "犬"]),
        ("control\x01\x02\x00chars", ["control", "chars"]),
        ("", []),
        ("  ", []),
    ],
)
def test_text_becomes_lower_case_words(text: str, words: list[str]) -> None:
    assert [word.decode() for word in words_of(fold_text(text))] == words


@pytest.mark.parametrize("mark", list(",.;:!?()[]{}/|&*#@…。"))
def test_punctuation_breaks_a_phrase(mark: str) -> None:
    first, *breaks, last = words_of(fold_text(f"hot{mark}dog"))
    assert (first, set(breaks), last) == (b"hot", {BREAK}, b"dog")


@pytest.mark.parametrize("text", ["hot dog", " hot  dog ", "hot\tdog", "hot \n dog"])
def test_each_word_has_a_space_of_its_own_on_either_side(text: str) -> None:
    assert fold_text(text) == b" hot  dog "


@pytest.mark.parametrize(("text", "has"), [("dog", True), ("...", False), ("", False), ("t.v.", True), ("— –", False)])
def test_a_phrase_has_at_least_one_word(text: str, has: bool) -> None:
    assert is_phrase(fold_text(text)) is has


@pytest.mark.parametrize("seed", range(5))
def test_a_block_is_its_captions_folded_one_by_one(seed: int) -> None:
    rng = random.Random(seed)
    pieces = ["a", "Dog", " ", "  ", ".", ",", "-", "\x01", "\x02", "é", "’", "\n", "—", "İ", "ß", "\ud800", "9", "_"]
    captions = ["".join(rng.choices(pieces, k=rng.randrange(8))) for _ in range(40)]
    words = words_of(fold_block(captions))
    split: list[list[bytes]] = [[]]
    for word in words:
        if word == CAPTION_END:
            split.append([])
        else:
            split[-1].append(word)
    assert split == [words_of(fold_text(caption)) for caption in captions]
