"""The vehicles, side view, driving to the right."""

from __future__ import annotations

from clipprompt.mini._look import DARK, GLASS, LIGHT, STEEL, Look
from clipprompt.mini._pen import Colour, Pen, shade


def _wheel(pen: Pen, x: float, y: float, radius: float) -> None:
    pen.disc(x, y, radius, DARK)
    pen.disc(x, y, radius * 0.55, STEEL)
    pen.disc(x, y, radius * 0.2, DARK)


def _windows(pen: Pen, left: float, right: float, top: float, bottom: float, count: int, glass: Colour = GLASS) -> None:
    step = (right - left) / count
    for k in range(count):
        pen.box(left + k * step + 0.12 * step, top, left + (k + 1) * step - 0.12 * step, bottom, glass)


def aeroplane(pen: Pen, look: Look) -> None:
    """A fuselage with swept wings, a tail fin, engines and a row of windows."""
    body = look.main if sum(look.main) > 330 else shade(look.main, 1.3)
    wing, fin = shade(body, 0.72), look.second
    pen.poly(((0.5, 0.5), (0.34, 0.06), (0.44, 0.06), (0.66, 0.48)), shade(body, 0.6))
    pen.poly(((0.05, 0.5), (0.0, 0.08), (0.1, 0.08), (0.22, 0.44)), fin)
    pen.poly(
        ((0.02, 0.46), (0.12, 0.4), (0.8, 0.36), (0.92, 0.42), (1.0, 0.54), (0.92, 0.64), (0.75, 0.68), (0.2, 0.62)),
        body,
    )
    pen.poly(((0.2, 0.58), (0.9, 0.6), (0.75, 0.68), (0.22, 0.63)), fin)
    pen.poly(((0.1, 0.5), (-0.02, 0.64), (0.06, 0.66), (0.22, 0.54)), wing)
    pen.poly(((0.64, 0.56), (0.4, 0.58), (0.24, 0.98), (0.34, 0.98)), wing)
    pen.oval(0.46, 0.8, 0.07, 0.06, DARK)
    pen.poly(((0.9, 0.42), (0.95, 0.46), (0.88, 0.48)), DARK)
    for k in range(9):
        pen.disc(0.26 + 0.068 * k, 0.49, 0.03, DARK)


def bicycle(pen: Pen, look: Look) -> None:
    """Two spoked wheels, a diamond frame, saddle and handlebar."""
    frame = look.main
    for x in (0.22, 0.78):
        pen.ring(x, 0.68, 0.29, 0.05, DARK)
        for dx, dy in ((0.0, 0.28), (0.13, 0.2), (0.18, 0.0), (0.13, -0.2)):
            pen.stroke(((x - dx, 0.68 - dy), (x + dx, 0.68 + dy)), 0.014, STEEL)
    pen.stroke(((0.22, 0.68), (0.36, 0.3), (0.68, 0.28), (0.46, 0.7), (0.22, 0.68)), 0.065, frame)
    pen.stroke(((0.46, 0.7), (0.34, 0.24)), 0.065, frame)
    pen.stroke(((0.78, 0.68), (0.66, 0.14)), 0.06, frame)
    pen.stroke(((0.6, 0.12), (0.7, 0.12), (0.76, 0.2)), 0.05, DARK)
    pen.oval(0.33, 0.2, 0.1, 0.05, DARK)
    pen.disc(0.46, 0.7, 0.07, STEEL)
    pen.stroke(((0.46, 0.7), (0.51, 0.84), (0.55, 0.84)), 0.035, DARK)


def motorbike(pen: Pen, look: Look) -> None:
    """Fat wheels, an engine block, a tank, a seat, an exhaust pipe, a headlight."""
    tank = look.main
    for x in (0.2, 0.8):
        pen.disc(x, 0.74, 0.26, DARK)
        pen.disc(x, 0.74, 0.14, STEEL)
        pen.disc(x, 0.74, 0.06, DARK)
    pen.poly(((0.3, 0.5), (0.62, 0.5), (0.6, 0.84), (0.36, 0.84)), (84, 86, 92))
    for y in (0.58, 0.65, 0.72):
        pen.stroke(((0.36, y), (0.58, y)), 0.025, STEEL)
    pen.stroke(((0.05, 0.8), (0.4, 0.84)), 0.08, (186, 188, 194))
    pen.stroke(((0.8, 0.74), (0.66, 0.22)), 0.07, STEEL)
    pen.poly(((0.06, 0.4), (0.22, 0.34), (0.46, 0.42), (0.4, 0.54), (0.14, 0.5)), DARK)
    pen.poly(((0.4, 0.34), (0.62, 0.28), (0.7, 0.42), (0.56, 0.56), (0.4, 0.54)), tank)
    pen.poly(((0.66, 0.5), (0.84, 0.44), (0.96, 0.56), (0.8, 0.52)), tank)
    pen.poly(((0.02, 0.52), (0.12, 0.4), (0.26, 0.48), (0.14, 0.52)), tank)
    pen.stroke(((0.56, 0.14), (0.68, 0.18)), 0.05, DARK)
    pen.disc(0.74, 0.3, 0.09, (250, 240, 180))


def car(pen: Pen, look: Look) -> None:
    """A sedan or, with another variant, a hatchback."""
    paint = look.main
    roof = (
        ((0.2, 0.46), (0.32, 0.08), (0.66, 0.08), (0.82, 0.46))
        if look.variant % 2 == 0
        else ((0.06, 0.46), (0.12, 0.08), (0.6, 0.08), (0.8, 0.46))
    )
    pen.poly(roof, paint)
    pen.poly(((0.0, 0.5), (0.08, 0.42), (0.8, 0.42), (0.97, 0.52), (1.0, 0.8), (0.0, 0.8)), paint)
    mid = 0.48 if look.variant % 2 == 0 else 0.38
    left = roof[1][0]
    pen.poly(((roof[0][0] + 0.04, 0.42), (left + 0.03, 0.16), (mid - 0.015, 0.16), (mid - 0.015, 0.42)), GLASS)
    pen.poly(((mid + 0.015, 0.42), (mid + 0.015, 0.16), (roof[2][0] - 0.02, 0.16), (roof[3][0] - 0.06, 0.42)), GLASS)
    pen.box(0.0, 0.7, 1.0, 0.8, shade(paint, 0.6))
    pen.stroke(((mid, 0.44), (mid, 0.7)), 0.018, shade(paint, 0.6))
    pen.box(0.94, 0.54, 1.0, 0.62, (252, 236, 160))
    pen.box(0.0, 0.52, 0.035, 0.62, (220, 40, 40))
    for x in (0.22, 0.78):
        _wheel(pen, x, 0.8, 0.2)


def bus(pen: Pen, look: Look) -> None:
    """A long tall box with many windows and a door; another variant has two decks."""
    paint = look.main
    pen.box(0.0, 0.02, 1.0, 0.86, paint)
    if look.variant % 3 == 2:
        _windows(pen, 0.02, 0.98, 0.1, 0.32, 7)
        _windows(pen, 0.02, 0.8, 0.46, 0.64, 5)
    else:
        _windows(pen, 0.02, 0.82, 0.14, 0.48, 6)
        pen.box(0.0, 0.58, 1.0, 0.66, look.second)
    pen.box(0.84, 0.36, 0.93, 0.84, DARK)
    pen.box(0.855, 0.4, 0.915, 0.8, GLASS)
    pen.box(0.955, 0.14, 1.0, 0.5, GLASS)
    pen.box(0.96, 0.66, 1.0, 0.74, (252, 236, 160))
    pen.box(0.0, 0.8, 1.0, 0.87, shade(paint, 0.55))
    for x in (0.2, 0.72):
        _wheel(pen, x, 0.86, 0.14)


def train(pen: Pen, look: Look) -> None:
    """A sloped engine and carriages on rails; another variant is a steam engine."""
    paint = look.main
    pen.stroke(((0.0, 0.97), (1.0, 0.97)), 0.04, (110, 100, 92))
    if look.variant % 3 == 2:
        _steam_engine(pen, paint)
        return
    pen.box(0.0, 0.16, 0.32, 0.82, paint)
    pen.box(0.34, 0.16, 0.66, 0.82, paint)
    pen.poly(((0.68, 0.16), (0.86, 0.16), (0.96, 0.4), (1.0, 0.82), (0.68, 0.82)), paint)
    for left in (0.01, 0.35, 0.68):
        _windows(pen, left, left + (0.3 if left < 0.6 else 0.18), 0.26, 0.46, 3 if left < 0.6 else 2)
        pen.box(left, 0.58, left + (0.3 if left < 0.6 else 0.29), 0.66, look.second)
    pen.poly(((0.88, 0.22), (0.93, 0.22), (0.98, 0.46), (0.88, 0.46)), DARK)
    for x in (0.06, 0.14, 0.24, 0.42, 0.52, 0.6, 0.74, 0.84, 0.92):
        pen.disc(x, 0.86, 0.09, DARK)


def _steam_engine(pen: Pen, paint: Colour) -> None:
    for k, x in enumerate((0.78, 0.7, 0.58)):
        pen.oval(x, 0.06 + 0.01 * k, 0.07 + 0.01 * k, 0.09, (214, 214, 218))
    pen.box(0.0, 0.34, 0.36, 0.8, shade(paint, 0.8))
    _windows(pen, 0.02, 0.34, 0.42, 0.56, 3)
    pen.box(0.4, 0.2, 0.6, 0.8, paint)
    pen.box(0.44, 0.3, 0.56, 0.48, GLASS)
    pen.box(0.6, 0.42, 0.96, 0.78, shade(paint, 0.55))
    pen.box(0.82, 0.16, 0.89, 0.44, DARK)
    pen.poly(((0.96, 0.7), (1.02, 0.92), (0.9, 0.92)), STEEL)
    for x in (0.08, 0.26, 0.46, 0.6, 0.74, 0.88):
        pen.disc(x, 0.84, 0.11, (160, 40, 40))
        pen.disc(x, 0.84, 0.05, DARK)


def boat(pen: Pen, look: Look) -> None:
    """A hull with sails, or with a cabin and a funnel."""
    hull = look.main
    if look.variant % 2 == 0:
        pen.stroke(((0.48, 0.0), (0.48, 0.76)), 0.035, (110, 76, 48))
        pen.poly(((0.52, 0.03), (0.92, 0.66), (0.52, 0.68)), (244, 244, 238))
        pen.poly(((0.44, 0.12), (0.44, 0.68), (0.12, 0.66)), look.second)
    else:
        pen.box(0.3, 0.46, 0.72, 0.76, LIGHT)
        _windows(pen, 0.32, 0.7, 0.54, 0.66, 4)
        pen.box(0.42, 0.18, 0.54, 0.46, look.second)
        pen.stroke(((0.8, 0.2), (0.8, 0.74)), 0.03, DARK)
    pen.poly(((0.0, 0.72), (1.0, 0.72), (0.84, 0.98), (0.14, 0.98)), hull)
    pen.poly(((0.02, 0.76), (0.98, 0.76), (0.96, 0.8), (0.04, 0.8)), LIGHT)


def truck(pen: Pen, look: Look) -> None:
    """A cab in front of a big plain load box, or an open bed."""
    paint = look.main
    if look.variant % 2 == 0:
        pen.box(0.0, 0.02, 0.66, 0.74, look.second)
        for x in (0.2, 0.43):
            pen.stroke(((x, 0.04), (x, 0.72)), 0.015, shade(look.second, 0.75))
    else:
        pen.poly(((0.0, 0.36), (0.66, 0.36), (0.64, 0.74), (0.03, 0.74)), shade(paint, 0.7))
        for x, r in ((0.14, 0.13), (0.3, 0.18), (0.48, 0.14)):
            pen.disc(x, 0.32, r, (150, 116, 76))
        pen.box(0.0, 0.38, 0.66, 0.74, shade(paint, 0.8))
    pen.poly(((0.69, 0.18), (0.88, 0.18), (0.97, 0.48), (1.0, 0.54), (1.0, 0.8), (0.69, 0.8)), paint)
    pen.poly(((0.76, 0.26), (0.86, 0.26), (0.93, 0.48), (0.76, 0.48)), GLASS)
    pen.box(0.0, 0.74, 0.98, 0.82, (60, 60, 66))
    pen.box(0.95, 0.6, 1.0, 0.68, (252, 236, 160))
    for x in (0.12, 0.28, 0.82):
        _wheel(pen, x, 0.84, 0.155)
