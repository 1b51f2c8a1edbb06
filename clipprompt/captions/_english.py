"""The closed classes of English words that tell a noun on its own from the first half of a compound."""

from __future__ import annotations

from clipprompt.captions._fold import BREAK, CAPTION_END

# What may follow a noun that stands on its own: "an orange on a plate", but not "an orange cat".
FOLLOWERS = frozenset(
    b"about above across after against along among around as at because before behind being below beneath beside "
    b"besides between beyond but by can down during for from had has have he in inside into is are it like near next "
    b"not of off on onto out outside over past she sit sits sitting lay lays laying lie lies lying so than that the "
    b"then there they through to toward towards under underneath until up upon was were when where which while who "
    b"will with within without".split()
) | {BREAK, CAPTION_END}
LINKS = frozenset([b"and", b"or"])
# "an orange and a pear" is a fruit, "an orange and white cat" is none: behind "and" a new noun must begin.
DETERMINERS = frozenset(b"a an another her his its one other several some the their two three four".split())


def stands_alone(haystack: bytes, end: int) -> bool:
    """Whether the phrase that ends at ``end`` of a folded text is a noun of its own.

    It is when the caption or the clause ends there, or when a preposition, an auxiliary verb or the like follows.
    """
    words = haystack[end : end + 80].split(None, 2)
    if not words or words[0] in FOLLOWERS:
        return True
    return words[0] in LINKS and (len(words) == 1 or words[1] in DETERMINERS)


def is_function_word(word: str) -> bool:
    """Whether a word belongs to a closed class, so that it has no plural: "train the" is no noun."""
    data = word.encode()
    return data in FOLLOWERS or data in DETERMINERS or data in LINKS
