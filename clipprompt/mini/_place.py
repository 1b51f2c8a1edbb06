"""Where objects stand, and how much of each one is seen."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from clipprompt.mini.kinds import SEATS, Kind

Box = tuple[float, float, float, float]

# Points of the unit square that lie inside the ellipse which stands for a drawn object.
_PROBES = [
    (x / 10, y / 10) for x in range(1, 10) for y in range(1, 10) if (x / 10 - 0.5) ** 2 + (y / 10 - 0.5) ** 2 < 0.2
]


def place(rng: Random, kind: Kind, horizon: float, zoom: float, taken: Sequence[Box]) -> Box:
    """The roomiest of three random places: in the air, or with the feet below the horizon and larger when nearer."""
    best, best_overlap = (0.0, 0.0, 0.1, 0.1), float("inf")
    for _ in range(3):
        box = _spot(rng, kind, horizon, zoom)
        overlap = sum(_overlap(box, other) for other in taken)
        if overlap < best_overlap:
            best, best_overlap = box, overlap
        if overlap == 0 or rng.random() < 0.2:
            break
    return best


def _spot(rng: Random, kind: Kind, horizon: float, zoom: float) -> Box:
    squeeze = rng.uniform(0.9, 1.12)
    size = kind.height * zoom * rng.uniform(0.75, 1.25)
    if kind.flies and rng.random() < 0.8:
        high = min(size * rng.uniform(0.7, 1.1), 0.85)
        wide = min(high * kind.aspect * squeeze, 0.98)
        return (rng.uniform(-0.12 * wide, 1 - 0.88 * wide), rng.uniform(0, max(horizon - 0.6 * high, 0.05)), wide, high)
    depth = rng.random()
    foot = horizon + 0.06 + (0.94 - horizon) * depth
    high = min(size * (0.62 + 0.38 * depth), 0.92)
    wide = min(high * kind.aspect * squeeze, 0.98)
    return (rng.uniform(-0.12 * wide, 1 - 0.88 * wide), foot - high, wide, high)


def seat_on(rng: Random, mount: Box, kind: str) -> Box:
    """A sitting person's box on a mount or a seat."""
    left, top, wide, high = mount
    tall = high * (1.15 if SEATS[kind] > 0.1 else 1.4) * rng.uniform(0.9, 1.1)
    across = tall * 0.42
    foot = top + high * (1 - SEATS[kind])
    return (left + wide * rng.uniform(0.35, 0.6) - across / 2, foot - tall, across, tall)


def visible_fractions(boxes: Sequence[Box], hiding: Sequence[Box] = ()) -> list[float]:
    """The part of each object that is on the canvas and behind no later object and nothing of ``hiding``."""
    return [_visible(box, (*boxes[k + 1 :], *hiding)) for k, box in enumerate(boxes)]


def _visible(box: Box, front: Sequence[Box]) -> float:
    left, top, wide, high = box
    near = [other for other in front if _overlap(box, other) > 0]
    seen = 0
    for u, v in _PROBES:
        x, y = left + u * wide, top + v * high
        if 0 <= x <= 1 and 0 <= y <= 1 and not any(_inside(x, y, other) for other in near):
            seen += 1
    return seen / len(_PROBES)


def _inside(x: float, y: float, box: Box) -> bool:
    u, v = (x - box[0]) / box[2] - 0.5, (y - box[1]) / box[3] - 0.5
    return u * u + v * v < 0.22


def _overlap(one: Box, two: Box) -> float:
    across = min(one[0] + one[2], two[0] + two[2]) - max(one[0], two[0])
    down = min(one[1] + one[3], two[1] + two[3]) - max(one[1], two[1])
    return max(across, 0.0) * max(down, 0.0)
