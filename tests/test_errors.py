from __future__ import annotations

import pytest

from clipprompt.datasets._checks import MissingPicturesError
from clipprompt.errors import advise


@pytest.mark.parametrize(
    ("said", "line"), [("a.jpg is gone", "a.jpg is gone; run: x"), ("is it unpacked?", "is it unpacked? or run: x")]
)
def test_advice_stands_behind_what_is_wrong_or_asked(said: str, line: str) -> None:
    advised = advise(MissingPicturesError(said), "run: x")
    assert (type(advised), str(advised)) == (MissingPicturesError, line)
