"""The eleven backgrounds, each drawn over the whole canvas from its own random stream."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from clipprompt.mini._look import GLASS
from clipprompt.mini._pen import Colour, Pen, shade


def vary(colour: Colour, rng: Random, spread: int = 22) -> Colour:
    """The colour moved by up to ``spread`` per channel."""
    red, green, blue = (max(0, min(255, channel + int(rng.uniform(-spread, spread)))) for channel in colour)
    return red, green, blue


def _sky_and_ground(pen: Pen, rng: Random, horizon: float, sky: Colour, ground: Colour) -> None:
    high, low = vary(sky, rng), vary(shade(ground, 0.85), rng)
    for k in range(4):
        pen.box(0, horizon * k / 4, 1, horizon * (k + 1) / 4 + 0.01, shade(high, 1 + 0.09 * k))
    for k in range(4):
        step = (1 - horizon) / 4
        pen.box(0, horizon + k * step, 1, horizon + (k + 1) * step + 0.01, shade(low, 1 + 0.04 * k))


def _clouds(pen: Pen, rng: Random, below: float, count: int) -> None:
    for _ in range(count):
        x, y, size = rng.random(), rng.uniform(0.02, max(below - 0.08, 0.05)), rng.uniform(0.04, 0.12)
        for k in range(3):
            pen.oval(x + (k - 1) * size, y, size, size * 0.45, shade((225, 230, 236), rng.uniform(0.95, 1.05)))


def _hills(pen: Pen, rng: Random, horizon: float, colour: Colour, sharp: bool) -> None:
    for k in range(4):
        x, wide, high = rng.uniform(-0.1, 1.1), rng.uniform(0.2, 0.45), rng.uniform(0.08, 0.3 if sharp else 0.12)
        tone = shade(colour, 0.8 + 0.1 * k)
        if sharp:
            pen.poly(((x - wide, horizon), (x, horizon - high), (x + wide, horizon)), tone)
            pen.poly(
                (
                    (x - wide * 0.25, horizon - high * 0.75),
                    (x, horizon - high),
                    (x + wide * 0.25, horizon - high * 0.75),
                ),
                (238, 242, 246),
            )
        else:
            pen.oval(x, horizon + 0.02, wide, high, tone)
    pen.box(0, horizon, 1, horizon + 0.012, shade(colour, 0.7))


def _tufts(pen: Pen, rng: Random, horizon: float, colour: Colour, count: int) -> None:
    for _ in range(count):
        x, y = rng.random(), rng.uniform(horizon + 0.02, 1)
        size = 0.01 + 0.03 * (y - horizon)
        pen.oval(x, y, size * 2, size, vary(colour, rng))


def _sky(pen: Pen, rng: Random, horizon: float) -> None:
    _sky_and_ground(pen, rng, horizon, (108, 170, 226), (120, 150, 120))
    _clouds(pen, rng, horizon, 6)


def _field(pen: Pen, rng: Random, horizon: float) -> None:
    _sky_and_ground(pen, rng, horizon, (140, 190, 230), (98, 158, 66))
    _hills(pen, rng, horizon, (84, 134, 74), False)
    _ground(pen, rng, horizon, (98, 158, 66))
    _tufts(pen, rng, horizon, (80, 140, 50), 14)


def _ground(pen: Pen, rng: Random, horizon: float, colour: Colour) -> None:
    pen.box(0, horizon, 1, 1.01, vary(colour, rng))


def _street(pen: Pen, rng: Random, horizon: float) -> None:
    _sky_and_ground(pen, rng, horizon, (176, 198, 216), (120, 120, 124))
    _houses(pen, rng, horizon, False)
    pen.box(0, horizon, 1, horizon + 0.07, (172, 168, 160))
    y = horizon + (1 - horizon) * 0.6
    for k in range(4):
        pen.box(k * 0.28, y, k * 0.28 + 0.15, y + 0.025, (226, 220, 190))


def _houses(pen: Pen, rng: Random, horizon: float, lit: bool) -> None:
    x = -0.05
    while x < 1:
        wide, high = rng.uniform(0.14, 0.3), rng.uniform(0.16, 0.42)
        wall = vary((44, 46, 66) if lit else (168, 138, 118), rng, 20 if lit else 45)
        pen.box(x, horizon - high, x + wide, horizon + 0.01, wall)
        for row in range(3):
            for column in range(3):
                left, top = x + wide * (0.12 + 0.3 * column), horizon - high * (0.9 - 0.3 * row)
                on = rng.random() < 0.5
                pane = ((246, 214, 110) if on else (30, 32, 48)) if lit else ((92, 110, 130) if on else GLASS)
                pen.box(left, top, left + wide * 0.17, top + high * 0.17, pane)
        x += wide


def _night(pen: Pen, rng: Random, horizon: float) -> None:
    _sky_and_ground(pen, rng, horizon, (22, 26, 58), (58, 58, 70))
    for _ in range(14):
        pen.disc(rng.random(), rng.uniform(0, horizon), 0.006, (240, 240, 220))
    pen.disc(rng.random(), rng.uniform(0.06, 0.2), 0.045, (244, 240, 206))
    _houses(pen, rng, horizon, True)


def _beach(pen: Pen, rng: Random, horizon: float) -> None:
    _sky_and_ground(pen, rng, horizon, (128, 196, 236), (230, 206, 152))
    _clouds(pen, rng, horizon, 2)
    shore = horizon + rng.uniform(0.1, 0.22)
    pen.box(0, horizon, 1, shore, vary((52, 138, 186), rng))
    pen.poly(
        [(0, shore), *[(k / 6, shore + rng.uniform(0, 0.03)) for k in range(7)], (1, shore - 0.02), (0, shore - 0.02)],
        (236, 244, 246),
    )
    _tufts(pen, rng, shore + 0.05, (208, 180, 126), 8)


def _sea(pen: Pen, rng: Random, horizon: float) -> None:
    _sky_and_ground(pen, rng, horizon, (150, 200, 232), (40, 110, 160))
    _clouds(pen, rng, horizon, 3)
    for _ in range(12):
        x, y = rng.random(), rng.uniform(horizon + 0.03, 1)
        pen.stroke(
            ((x - 0.07, y), (x - 0.03, y - 0.014), (x, y), (x + 0.04, y - 0.014), (x + 0.08, y)), 0.01, (150, 196, 220)
        )


def _snow(pen: Pen, rng: Random, horizon: float) -> None:
    _sky_and_ground(pen, rng, horizon, (190, 208, 226), (240, 244, 250))
    _hills(pen, rng, horizon, (214, 224, 236), False)
    for _ in range(18):
        pen.disc(rng.random(), rng.random(), 0.008, (252, 252, 254))


def _forest(pen: Pen, rng: Random, horizon: float) -> None:
    _sky_and_ground(pen, rng, horizon, (150, 180, 150), (92, 110, 62))
    for _ in range(9):
        x, base, high = rng.random(), horizon + rng.uniform(-0.02, 0.06), rng.uniform(0.25, 0.5)
        pen.box(x - 0.014, base - high * 0.3, x + 0.014, base, (84, 60, 42))
        tone = vary((46, 96, 52), rng, 18)
        for k in range(2):
            pen.poly(
                (
                    (x - 0.09, base - high * (0.2 + 0.3 * k)),
                    (x, base - high * (0.7 + 0.3 * k)),
                    (x + 0.09, base - high * (0.2 + 0.3 * k)),
                ),
                tone,
            )
    _tufts(pen, rng, horizon + 0.05, (110, 100, 54), 10)


def _mountains(pen: Pen, rng: Random, horizon: float) -> None:
    _sky_and_ground(pen, rng, horizon, (150, 190, 226), (132, 150, 92))
    _hills(pen, rng, horizon, (124, 128, 142), True)


def _desert(pen: Pen, rng: Random, horizon: float) -> None:
    _sky_and_ground(pen, rng, horizon, (226, 206, 166), (214, 170, 104))
    _hills(pen, rng, horizon, (204, 154, 92), False)
    for _ in range(2):
        x, y = rng.random(), horizon + rng.uniform(0.03, 0.12)
        pen.stroke(((x, y), (x, y - 0.12)), 0.03, (82, 128, 72))
        pen.stroke(((x, y - 0.05), (x + 0.04, y - 0.05), (x + 0.04, y - 0.1)), 0.02, (82, 128, 72))


def _room(pen: Pen, rng: Random, horizon: float) -> None:
    wall, floor = vary((206, 190, 168), rng, 48), vary((150, 108, 74), rng, 36)
    pen.box(0, 0, 1, horizon, wall)
    if rng.random() < 0.5:
        for k in range(8):
            pen.box(k / 8, 0, k / 8 + 0.05, horizon, shade(wall, 0.93))
    pen.box(0, horizon, 1, 1, floor)
    for k in range(3):
        y = horizon + (1 - horizon) * (k + 1) / 4
        pen.stroke(((0, y), (1, y)), 0.006, shade(floor, 0.8))
    pen.box(0, horizon - 0.02, 1, horizon + 0.01, shade(wall, 1.4))
    x = rng.uniform(0.05, 0.7)
    pen.box(x, 0.08, x + 0.24, 0.3, (244, 242, 236))
    pen.box(x + 0.02, 0.1, x + 0.22, 0.28, vary((150, 190, 214), rng, 50))
    if rng.random() < 0.6:
        pen.oval(rng.random(), 0.85, 0.4, 0.1, vary((150, 80, 84), rng, 70))


def _kitchen(pen: Pen, rng: Random, horizon: float) -> None:
    wall, cupboard = vary((214, 222, 220), rng, 26), vary((186, 160, 126), rng, 45)
    pen.box(0, 0, 1, horizon, wall)
    for k in range(8):
        pen.stroke(((0, k * horizon / 8), (1, k * horizon / 8)), 0.005, shade(wall, 0.88))
        pen.stroke(((k / 8, 0), (k / 8, horizon)), 0.005, shade(wall, 0.88))
    for k in range(4):
        pen.box(k * 0.26, 0, k * 0.26 + 0.24, 0.16, cupboard)
        pen.box(k * 0.26 + 0.19, 0.11, k * 0.26 + 0.21, 0.14, (70, 70, 70))
    pen.box(0, horizon, 1, horizon + 0.05, (96, 92, 90))
    pen.box(0, horizon + 0.05, 1, 1, shade(cupboard, 1.1))
    for k in range(5):
        pen.stroke(((k * 0.25, horizon + 0.05), (k * 0.25, 1)), 0.006, shade(cupboard, 0.75))


BACKGROUNDS: dict[str, Callable[[Pen, Random, float], None]] = {
    "sky": _sky,
    "field": _field,
    "street": _street,
    "night": _night,
    "beach": _beach,
    "sea": _sea,
    "snow": _snow,
    "forest": _forest,
    "mountains": _mountains,
    "desert": _desert,
    "room": _room,
    "kitchen": _kitchen,
}
