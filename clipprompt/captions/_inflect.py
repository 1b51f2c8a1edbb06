"""Singular and plural of the closed list of class names and synonyms."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from clipprompt.captions._english import is_function_word

if TYPE_CHECKING:
    import inflect


@lru_cache(maxsize=1)
def _engine() -> inflect.engine:
    # Imported late: it costs a third of a second, and only a corpus needs it.
    import inflect

    return inflect.engine()


@lru_cache(maxsize=65536)
def plurals(phrase: str) -> tuple[str, ...]:
    """The plural of a phrase's head noun: "glass of wine" gives "glasses of wine". Empty when there is none."""
    if is_function_word(phrase.split()[-1]):
        return ()
    try:
        plural = _engine().plural_noun(phrase)
    except Exception:
        # The library refuses odd input (signs alone, say) in many ways; such a phrase simply has no plural.
        return ()
    return (plural,) if plural and plural != phrase else ()


@lru_cache(maxsize=65536)
def singulars(phrase: str) -> tuple[str, ...]:
    """The singular of a name that is a plural: "birds" gives "bird", "cat" gives nothing."""
    if phrase.endswith(("ss", "us")):
        return ()  # "glass" and "bus" only look like plurals
    try:
        singular = _engine().singular_noun(phrase)
    except Exception:
        return ()
    return (singular,) if singular and singular != phrase else ()
