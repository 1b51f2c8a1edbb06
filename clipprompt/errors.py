"""The one kind of exception that a user's mistake raises."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TypeVar


class UserError(Exception):
    """A request that cannot be served: one line that names the wrong value and how to mend it.

    The command line prints the line on stderr and exits with 2; from Python it is an ordinary exception.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class NotFiniteError(UserError):
    """Settings with which a training, or what it has learnt, gives no finite numbers: of several, others may do."""


E = TypeVar("E", bound=UserError)


def advise(error: E, step: str) -> E:
    """An error of the same kind that ends with what to do next; behind a question, as the other thing to do."""
    joint = " or" if str(error).endswith("?") else ";"
    return type(error)(f"{error}{joint} {step}")


def nearest(value: str, allowed: Iterable[str]) -> str:
    """Suggests the allowed name that looks most like ``value``.

    Returns:
        ``" (did you mean 'x'?)"``, or the empty string when nothing is close.
    """
    match = difflib.get_close_matches(value, list(allowed), n=1, cutoff=0.6)
    return f" (did you mean {match[0]!r}?)" if match else ""
