"""What stands in rooms and gardens: furniture, screens, pots, bottles, cups."""

from __future__ import annotations

from clipprompt.mini._look import DARK, LIGHT, STEEL, Look
from clipprompt.mini._pen import Pen, shade

_WOOD = (140, 94, 56)


def bottle(pen: Pen, look: Look) -> None:
    """A neck, shoulders and a label."""
    glass = look.main
    pen.box(0.36, 0.0, 0.64, 0.07, look.second)
    pen.poly(
        (
            (0.38, 0.06),
            (0.62, 0.06),
            (0.62, 0.3),
            (0.9, 0.42),
            (0.92, 0.97),
            (0.85, 1.0),
            (0.15, 1.0),
            (0.08, 0.97),
            (0.1, 0.42),
            (0.38, 0.3),
        ),
        glass,
    )
    pen.box(0.1, 0.54, 0.9, 0.8, LIGHT)
    pen.box(0.2, 0.62, 0.8, 0.7, look.second)
    pen.box(0.18, 0.44, 0.28, 0.98, shade(glass, 1.35))


def chair(pen: Pen, look: Look) -> None:
    """A back, a seat and four thin legs; slats or a solid back."""
    wood, dark = look.main, shade(look.main, 0.7)
    for x, top in ((0.2, 0.5), (0.74, 0.5)):
        pen.stroke(((x, top), (x, 0.92)), 0.05, dark)
    if look.variant % 2:
        pen.box(0.04, 0.0, 0.2, 0.55, wood)
        pen.poly(((0.08, 0.02), (0.6, 0.02), (0.6, 0.48), (0.08, 0.5)), shade(wood, 1.15))
    else:
        for x in (0.1, 0.34, 0.58):
            pen.stroke(((x, 0.02), (x, 0.52)), 0.06, wood)
        for y in (0.06, 0.26):
            pen.stroke(((0.1, y), (0.58, y)), 0.07, wood)
    pen.poly(((0.06, 0.5), (0.66, 0.46), (0.96, 0.56), (0.94, 0.64), (0.08, 0.62)), look.second)
    for x in (0.12, 0.9):
        pen.stroke(((x, 0.6), (x, 1.0)), 0.06, wood)


def diningtable(pen: Pen, look: Look) -> None:
    """A table top in perspective with four legs, or a round one on a pillar; a plate or a cloth on it."""
    wood, dark = look.main, shade(look.main, 0.7)
    if look.variant % 2 == 0:
        for x, foot in ((0.2, 0.86), (0.8, 0.86), (0.07, 1.0), (0.93, 1.0)):
            pen.box(x - 0.03, 0.3, x + 0.03, foot, dark if foot < 1 else wood)
        pen.poly(((0.18, 0.06), (0.82, 0.06), (1.0, 0.32), (0.0, 0.32)), shade(wood, 1.2))
        pen.box(0.0, 0.32, 1.0, 0.44, wood)
    else:
        pen.box(0.46, 0.3, 0.54, 0.94, dark)
        pen.poly(((0.28, 1.0), (0.5, 0.88), (0.72, 1.0)), dark)
        pen.oval(0.5, 0.26, 0.5, 0.2, wood)
        pen.oval(0.5, 0.22, 0.5, 0.2, shade(wood, 1.2))
    for x in (0.34, 0.66):
        pen.oval(x, 0.19, 0.1, 0.06, LIGHT)
        pen.oval(x, 0.19, 0.06, 0.035, look.second)


def pottedplant(pen: Pen, look: Look) -> None:
    """Leaves or blossoms above a tapering pot."""
    pot = look.main
    green = (58, 134, 58)
    for k, (x, y, turn) in enumerate(
        ((0.22, 0.42, 50), (0.78, 0.42, -50), (0.34, 0.24, 70), (0.66, 0.24, -70), (0.5, 0.2, 90))
    ):
        pen.stroke(((0.5, 0.68), (x, y)), 0.025, shade(green, 0.7))
        pen.oval(x, y, 0.24, 0.09, shade(green, 0.85 if k % 2 else 1.1), turn)
    if look.variant % 2:
        for x, y in ((0.22, 0.3), (0.5, 0.12), (0.78, 0.3), (0.5, 0.38)):
            pen.disc(x, y, 0.085, look.second)
            pen.disc(x, y, 0.03, (246, 220, 90))
    pen.poly(((0.22, 0.68), (0.78, 0.68), (0.68, 1.0), (0.32, 1.0)), pot)
    pen.box(0.17, 0.62, 0.83, 0.72, shade(pot, 0.85))


def sofa(pen: Pen, look: Look) -> None:
    """A wide back, two arms, seat cushions and short feet."""
    cloth, dark = look.main, shade(look.main, 0.75)
    for x in (0.1, 0.9):
        pen.box(x - 0.03, 0.88, x + 0.03, 1.0, _WOOD)
    pen.poly(((0.08, 0.08), (0.14, 0.02), (0.86, 0.02), (0.92, 0.08), (0.92, 0.7), (0.08, 0.7)), cloth)
    pen.box(0.08, 0.6, 0.92, 0.9, dark)
    pen.box(0.13, 0.48, 0.495, 0.68, shade(cloth, 1.2))
    pen.box(0.505, 0.48, 0.87, 0.68, shade(cloth, 1.2))
    pen.stroke(((0.5, 0.06), (0.5, 0.46)), 0.02, dark)
    for x in (0.07, 0.93):
        pen.oval(x, 0.4, 0.07, 0.1, cloth)
        pen.box(x - 0.07, 0.4, x + 0.07, 0.9, cloth)
    if look.variant % 2:
        pen.poly(((0.2, 0.28), (0.36, 0.22), (0.4, 0.46), (0.22, 0.5)), look.second)


def tvmonitor(pen: Pen, look: Look) -> None:
    """A dark frame around a picture or a blank screen, on a foot; another variant has an antenna."""
    screen = look.main
    top = 0.0
    if look.variant % 2:
        top = 0.16
        pen.stroke(((0.3, 0.0), (0.5, 0.18), (0.7, 0.0)), 0.025, STEEL)
    pen.poly(((0.42, 0.84), (0.58, 0.84), (0.6, 0.96), (0.4, 0.96)), DARK)
    pen.box(0.24, 0.94, 0.76, 1.0, DARK)
    pen.box(0.0, top, 1.0, 0.86, DARK)
    pen.box(0.06, top + 0.07, 0.94, 0.77, screen)
    if look.pose % 2:
        pen.poly(((0.06, 0.77), (0.3, 0.46), (0.5, 0.66), (0.7, 0.4), (0.94, 0.77)), look.second)
    else:
        pen.poly(((0.14, top + 0.07), (0.34, top + 0.07), (0.16, 0.7), (0.06, 0.7), (0.06, 0.4)), shade(screen, 1.4))
    pen.disc(0.94, 0.815, 0.02, (220, 50, 50))


def bench(pen: Pen, look: Look) -> None:
    """Long slats for seat and back, iron legs."""
    wood = look.main
    for x in (0.1, 0.9):
        pen.stroke(((x, 0.02), (x, 1.0)), 0.07, DARK)
        pen.stroke(((x - 0.07, 1.0), (x, 0.66), (x + 0.07, 1.0)), 0.06, DARK)
    for y in (0.06, 0.24):
        pen.box(0.0, y, 1.0, y + 0.12, wood)
    pen.box(0.0, 0.54, 1.0, 0.62, shade(wood, 1.2))
    pen.box(0.0, 0.65, 1.0, 0.74, wood)


def clock(pen: Pen, look: Look) -> None:
    """A round face with hour marks and two hands."""
    pen.disc(0.5, 0.5, 0.5, look.main)
    pen.disc(0.5, 0.5, 0.41, (248, 246, 238))
    for x, y in (
        (0, -1),
        (0.5, -0.87),
        (0.87, -0.5),
        (1, 0),
        (0.87, 0.5),
        (0.5, 0.87),
        (0, 1),
        (-0.5, 0.87),
        (-0.87, 0.5),
        (-1, 0),
        (-0.87, -0.5),
        (-0.5, -0.87),
    ):
        pen.stroke(((0.5 + 0.31 * x, 0.5 + 0.31 * y), (0.5 + 0.38 * x, 0.5 + 0.38 * y)), 0.035, DARK)
    hour = ((0.66, 0.4), (0.36, 0.36), (0.62, 0.62), (0.4, 0.64))[look.pose % 4]
    pen.stroke(((0.5, 0.5), hour), 0.07, DARK)
    pen.stroke(((0.5, 0.5), (0.5, 0.16) if look.variant % 2 else (0.82, 0.54)), 0.045, DARK)
    pen.disc(0.5, 0.5, 0.045, (190, 40, 40))


def cup(pen: Pen, look: Look) -> None:
    """A mug with a handle and a dark drink."""
    pen.ring(0.78, 0.52, 0.2, 0.09, shade(look.main, 0.85))
    pen.poly(((0.04, 0.14), (0.76, 0.14), (0.7, 0.98), (0.1, 0.98)), look.main)
    pen.oval(0.4, 0.15, 0.36, 0.13, shade(look.main, 1.25))
    pen.oval(0.4, 0.16, 0.3, 0.09, (78, 48, 30))
    if look.variant % 2:
        pen.box(0.07, 0.5, 0.73, 0.66, look.second)


def laptop(pen: Pen, look: Look) -> None:
    """An open screen above a keyboard."""
    body = (176, 178, 184) if look.variant % 2 else (70, 72, 78)
    pen.poly(((0.14, 0.0), (0.86, 0.0), (0.86, 0.64), (0.14, 0.64)), body)
    pen.box(0.18, 0.05, 0.82, 0.58, look.main)
    pen.box(0.24, 0.14, 0.6, 0.22, shade(look.main, 1.6))
    pen.box(0.24, 0.3, 0.74, 0.36, shade(look.main, 1.4))
    pen.poly(((0.14, 0.64), (0.86, 0.64), (1.0, 0.94), (0.0, 0.94)), shade(body, 1.15))
    for y in (0.7, 0.77):
        pen.stroke(((0.18, y), (0.82, y)), 0.035, DARK)
    pen.box(0.4, 0.83, 0.6, 0.9, shade(body, 0.85))
    pen.box(0.0, 0.93, 1.0, 1.0, shade(body, 0.7))


def book(pen: Pen, look: Look) -> None:
    """Open with lines of print, or closed and standing at a slant."""
    if look.variant % 2 == 0:
        pen.poly(((0.0, 0.16), (0.5, 0.26), (1.0, 0.16), (1.0, 0.94), (0.5, 1.0), (0.0, 0.94)), look.main)
        pen.poly(((0.05, 0.1), (0.5, 0.2), (0.5, 0.92), (0.05, 0.84)), LIGHT)
        pen.poly(((0.95, 0.1), (0.5, 0.2), (0.5, 0.92), (0.95, 0.84)), (250, 248, 238))
        for y in (0.3, 0.44, 0.58, 0.72):
            pen.stroke(((0.12, y - 0.02), (0.42, y + 0.04)), 0.03, STEEL)
            pen.stroke(((0.58, y + 0.04), (0.88, y - 0.02)), 0.03, STEEL)
        return
    pen.poly(((0.2, 0.0), (0.84, 0.08), (0.84, 1.0), (0.2, 0.94)), look.main)
    pen.poly(((0.84, 0.08), (0.96, 0.02), (0.96, 0.94), (0.84, 1.0)), (244, 240, 226))
    pen.poly(((0.2, 0.0), (0.32, -0.06), (0.96, 0.02), (0.84, 0.08)), (230, 226, 210))
    pen.poly(((0.32, 0.2), (0.72, 0.25), (0.72, 0.4), (0.32, 0.35)), look.second)
