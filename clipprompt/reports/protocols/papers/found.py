"""What papers print for a table of ours: numbers beside our rows, other rows, or the reason why there are none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from clipprompt.reports.protocols.papers.printed import Printed
from clipprompt.reports.protocols.rows import Number, Place, ProtocolTable

_ROUNDING = 0.005
"""Papers print two decimals."""


@dataclass(frozen=True)
class Papers:
    """What papers print for a table of ours.

    Attributes:
        beside: in percent by label of our row, and place in it.
        others: rows that none of ours answers to.
        notes: what they are, or why there are none.
    """

    beside: Mapping[tuple[str, Place], float] = field(default_factory=dict)
    others: tuple[Printed, ...] = ()
    notes: tuple[str, ...] = ()


def differs(number: Number, printed: float) -> bool:
    """Whether a printed number lies more than two of our standard deviations away; of one run this cannot be said."""
    return number.std is not None and abs(number.mean - printed) > 2 * number.std + _ROUNDING


def paper_notes(table: ProtocolTable, beside: Mapping[tuple[str, Place], float], source: str) -> Iterator[str]:
    """Where the numbers are from, and what stands behind them.

    Args:
        table: of ours.
        beside: the papers' numbers, by our row and place.
        source: where they are printed.
    """
    yield f"paper: as printed in {source}"
    numbers = {(row.label, place): number for row in table.rows for place, number in row.numbers.items()}
    if any(differs(numbers[key], value) for key, value in beside.items()):
        yield "*: more than two of our standard deviations from the paper's number"
    if any(numbers[key].std is None for key in beside):
        yield "a row of a single run has no deviation, and no *"
