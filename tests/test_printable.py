from __future__ import annotations

import pytest

from clipprompt.printable import counted, listed


@pytest.mark.parametrize(
    ("n", "noun", "said"),
    [
        (1, "picture", "1 picture"),
        (0, "picture", "0 pictures"),
        (2000, "picture", "2,000 pictures"),
        (1, "class", "1 class"),
        (2, "class", "2 classes"),
    ],
)
def test_one_thing_is_no_plural(n: int, noun: str, said: str) -> None:
    assert counted(n, noun) == said


@pytest.mark.parametrize(
    ("names", "said"), [("abc", "a, b, c"), ("abcde", "a, b, c, d, e"), ("abcdef", "a, b, c, d, e and 1 more")]
)
def test_long_lists_are_cut(names: str, said: str) -> None:
    assert listed(list(names)) == said
