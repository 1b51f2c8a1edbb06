"""Names beside points, so that none lies on another or on a point."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

HEIGHT = 0.14
"""Inches of a name's line."""
_NEAR, _STEP, _RINGS = 0.09, 0.16, 5
_POINT = 0.05
_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
"""To the right is the first choice."""


class Box(NamedTuple):
    """A rectangle in inches, from its lower left corner."""

    left: float
    bottom: float
    width: float
    height: float

    def overlap(self, other: Box) -> float:
        """Square inches that both cover."""
        wide = min(self.left + self.width, other.left + other.width) - max(self.left, other.left)
        high = min(self.bottom + self.height, other.bottom + other.height) - max(self.bottom, other.bottom)
        return max(wide, 0.0) * max(high, 0.0)

    @property
    def area(self) -> float:
        """In square inches."""
        return self.width * self.height


class Placed(NamedTuple):
    """Where a name stands, and whether it is so far from its point that a line must lead there."""

    box: Box
    is_far: bool


def place_labels(choices: Sequence[Sequence[Placed]], paper: Box, obstacles: Sequence[Box] = ()) -> list[Placed]:
    """Places names one after another, those in a crowd first, each where it covers least.

    Args:
        choices: for each name, where it may stand, best first.
        paper: that names should not leave.
        obstacles: what they should not cover, such as points and lines.
    """
    taken, found = list(obstacles), dict[int, Placed]()
    firsts = [places[0].box for places in choices]
    for index in sorted(range(len(choices)), key=lambda index: -_crowd(firsts, index)):
        costs = [_cost(place.box, taken, paper) for place in choices[index]]
        found[index] = choices[index][costs.index(min(costs))]
        taken.append(found[index].box)
    return [found[index] for index in range(len(choices))]


def around(point: tuple[float, float], width: float) -> list[Placed]:
    """Where the name of a point may stand, from near to far."""
    return list(_rings(*point, width))


def along(height: float, width: float, paper: Box) -> list[Placed]:
    """Where the name of a line from side to side may stand: above and below it, from the left to the right."""
    gap, step = 0.03, (paper.width - width - 0.1) / 4
    return [
        Placed(Box(0.05 + place * step, bottom, width, HEIGHT), is_far=False)
        for place in range(5)
        for bottom in (height + gap, height - gap - HEIGHT)
    ]


def dot(point: tuple[float, float]) -> Box:
    """What a point covers."""
    return Box(point[0] - _POINT, point[1] - _POINT, 2 * _POINT, 2 * _POINT)


def _crowd(boxes: Sequence[Box], index: int) -> int:
    """How many names begin within half an inch."""
    here = boxes[index]
    return sum((here.left - one.left) ** 2 + (here.bottom - one.bottom) ** 2 < 0.25 for one in boxes)


def _rings(x: float, y: float, width: float) -> Iterator[Placed]:
    for ring in range(_RINGS):
        distance = _NEAR + ring * _STEP
        for across, up in _DIRECTIONS:
            left = x + across * distance - (0.0 if across > 0 else width if across < 0 else width / 2)
            bottom = y + up * distance - (0.0 if up > 0 else HEIGHT if up < 0 else HEIGHT / 2)
            yield Placed(Box(left, bottom, width, HEIGHT), ring > 0)


def _cost(box: Box, taken: Sequence[Box], paper: Box) -> float:
    """What a place covers, and what of it is off the paper; the first of equal ones is taken."""
    return round(sum(box.overlap(other) for other in taken) + 2 * (box.area - box.overlap(paper)), 6)
