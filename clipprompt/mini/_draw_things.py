"""Street furniture, food, toys and bags."""

from __future__ import annotations

from clipprompt.mini._look import DARK, LIGHT, STEEL, Look
from clipprompt.mini._pen import Pen, shade


def umbrella(pen: Pen, look: Look) -> None:
    """A scalloped canopy in two colours over a hooked stick."""
    pen.stroke(((0.5, 0.1), (0.5, 0.9), (0.57, 0.98), (0.65, 0.9)), 0.04, DARK)
    outline = [
        (0.0, 0.5),
        (0.04, 0.32),
        (0.16, 0.16),
        (0.34, 0.06),
        (0.5, 0.03),
        (0.66, 0.06),
        (0.84, 0.16),
        (0.96, 0.32),
        (1.0, 0.5),
    ]
    pen.poly([*outline, (0.86, 0.42), (0.7, 0.5), (0.5, 0.42), (0.3, 0.5), (0.14, 0.42)], look.main)
    pen.poly(((0.5, 0.03), (0.3, 0.5), (0.4, 0.44), (0.5, 0.42), (0.6, 0.44), (0.7, 0.5)), look.second)
    pen.stroke(((0.5, 0.0), (0.5, 0.06)), 0.03, DARK)


def kite(pen: Pen, look: Look) -> None:
    """A diamond in four quarters with a bowed tail."""
    pen.poly(((0.5, 0.0), (0.86, 0.3), (0.5, 0.3)), look.main)
    pen.poly(((0.5, 0.0), (0.14, 0.3), (0.5, 0.3)), look.second)
    pen.poly(((0.5, 0.66), (0.86, 0.3), (0.5, 0.3)), look.second)
    pen.poly(((0.5, 0.66), (0.14, 0.3), (0.5, 0.3)), look.main)
    tail = ((0.5, 0.66), (0.4, 0.76), (0.58, 0.85), (0.46, 1.0))
    pen.stroke(tail, 0.018, DARK)
    for x, y in tail[1:3]:
        pen.poly(((x - 0.12, y - 0.05), (x, y), (x - 0.12, y + 0.05)), look.main)
        pen.poly(((x + 0.12, y - 0.05), (x, y), (x + 0.12, y + 0.05)), look.main)


def traffic_light(pen: Pen, look: Look) -> None:
    """A pole with three lamps, one of them lit."""
    pen.box(0.42, 0.5, 0.58, 1.0, STEEL)
    pen.box(0.1, 0.0, 0.9, 0.66, (44, 46, 50))
    lit = look.variant % 3
    for k, colour in enumerate(((235, 44, 40), (245, 196, 40), (50, 210, 90))):
        pen.disc(0.5, 0.12 + 0.21 * k, 0.085, colour if k == lit else shade(colour, 0.35))


def stop_sign(pen: Pen, look: Look) -> None:
    """A red octagon with a white border and a white word, on a post."""
    pen.box(0.46, 0.5, 0.54, 1.0, STEEL)
    for radius, colour in ((1.0, LIGHT), (0.88, (200, 30, 34))):
        rx, ry = 0.5 * radius, 0.33 * radius
        corners = ((-0.41, -1), (0.41, -1), (1, -0.41), (1, 0.41), (0.41, 1), (-0.41, 1), (-1, 0.41), (-1, -0.41))
        pen.poly([(0.5 + rx * x, 0.33 + ry * y) for x, y in corners], colour)
    pen.stroke(((0.24, 0.27), (0.15, 0.27), (0.15, 0.32), (0.24, 0.33), (0.24, 0.39), (0.14, 0.39)), 0.03, LIGHT)
    pen.stroke(((0.29, 0.27), (0.45, 0.27)), 0.03, LIGHT)
    pen.stroke(((0.37, 0.27), (0.37, 0.4)), 0.03, LIGHT)
    pen.stroke(((0.5, 0.27), (0.63, 0.27), (0.63, 0.39), (0.5, 0.39), (0.5, 0.27)), 0.03, LIGHT)
    pen.stroke(((0.71, 0.41), (0.71, 0.27), (0.85, 0.27), (0.85, 0.33), (0.71, 0.33)), 0.03, LIGHT)


def fire_hydrant(pen: Pen, look: Look) -> None:
    """A domed column with side caps on a flange."""
    paint, dark = look.main, shade(look.main, 0.72)
    pen.box(0.12, 0.9, 0.88, 1.0, dark)
    pen.box(0.26, 0.24, 0.74, 0.92, paint)
    pen.oval(0.5, 0.24, 0.28, 0.15, paint)
    pen.box(0.42, 0.0, 0.58, 0.12, dark)
    pen.box(0.16, 0.25, 0.84, 0.32, dark)
    pen.box(0.02, 0.44, 0.98, 0.6, dark)
    pen.disc(0.5, 0.52, 0.13, look.second)
    pen.disc(0.5, 0.52, 0.06, dark)
    pen.box(0.2, 0.78, 0.8, 0.84, dark)


def apple(pen: Pen, look: Look) -> None:
    """Two lobes, a stalk and a leaf."""
    pen.oval(0.34, 0.6, 0.32, 0.38, look.main)
    pen.oval(0.66, 0.6, 0.32, 0.38, look.main)
    pen.oval(0.5, 0.66, 0.36, 0.33, look.main)
    pen.oval(0.5, 0.28, 0.13, 0.06, shade(look.main, 0.6))
    pen.stroke(((0.5, 0.3), (0.54, 0.04)), 0.06, (96, 62, 36))
    pen.oval(0.7, 0.12, 0.18, 0.08, (70, 150, 60), -20)
    pen.oval(0.24, 0.5, 0.07, 0.14, shade(look.main, 1.5), 20)


def banana(pen: Pen, look: Look) -> None:
    """One crescent, or a bunch of three."""
    for k in range(3 if look.variant % 2 else 1):
        lift = 0.17 * k
        tone = shade(look.main, 1 - 0.1 * k)
        crescent = (
            (0.02, 0.3),
            (0.12, 0.24),
            (0.2, 0.5),
            (0.42, 0.7),
            (0.66, 0.68),
            (0.88, 0.44),
            (0.98, 0.48),
            (0.92, 0.76),
            (0.7, 0.97),
            (0.38, 0.98),
            (0.12, 0.78),
        )
        pen.poly([(x, y - lift) for x, y in crescent], tone)
        pen.stroke(
            ((0.14, 0.6 - lift), (0.36, 0.84 - lift), (0.7, 0.84 - lift), (0.88, 0.66 - lift)), 0.025, shade(tone, 0.72)
        )
        pen.poly(((0.02, 0.3 - lift), (0.0, 0.16 - lift), (0.09, 0.12 - lift), (0.12, 0.24 - lift)), (96, 76, 40))
        pen.poly(((0.9, 0.42 - lift), (1.0, 0.44 - lift), (0.98, 0.54 - lift)), DARK)


def pizza(pen: Pen, look: Look) -> None:
    """A whole round one seen at a slant, or a slice."""
    crust, cheese, sauce = (206, 148, 78), (246, 208, 104), (190, 50, 40)
    if look.variant % 2 == 0:
        pen.oval(0.5, 0.5, 0.5, 0.48, crust)
        pen.oval(0.5, 0.5, 0.43, 0.41, sauce)
        pen.oval(0.5, 0.5, 0.4, 0.38, cheese)
        spots = [(0.34, 0.32), (0.62, 0.28), (0.72, 0.54), (0.5, 0.52), (0.3, 0.6), (0.52, 0.76)]
        for angle in ((0.5, 0.12, 0.5, 0.88), (0.12, 0.5, 0.88, 0.5)):
            pen.stroke(((angle[0], angle[1]), (angle[2], angle[3])), 0.015, crust)
    else:
        pen.poly(((0.0, 0.2), (0.5, 0.0), (1.0, 0.2), (0.94, 0.32), (0.06, 0.32)), crust)
        pen.poly(((0.07, 0.28), (0.93, 0.28), (0.5, 1.0)), cheese)
        spots = [(0.3, 0.4), (0.66, 0.42), (0.5, 0.64)]
    for k, (x, y) in enumerate(spots):
        pen.oval(x, y, 0.085, 0.08, (80, 140, 60) if k % 3 == 2 else sauce)


def teddy_bear(pen: Pen, look: Look) -> None:
    """Sitting, arms out, round ears, a pale muzzle and belly, a bow."""
    fur, pale = look.main, shade(look.main, 1.45)
    for x in (0.22, 0.78):
        pen.disc(x, 0.1, 0.1, fur)
        pen.disc(x, 0.1, 0.055, pale)
        pen.oval(0.5 + (x - 0.5) * 1.35, 0.58, 0.13, 0.17, fur, 35 if x < 0.5 else -35)
        pen.oval(0.5 + (x - 0.5) * 0.95, 0.88, 0.19, 0.12, fur)
        pen.disc(0.5 + (x - 0.5) * 1.15, 0.88, 0.08, pale)
    pen.oval(0.5, 0.68, 0.32, 0.26, fur)
    pen.oval(0.5, 0.7, 0.2, 0.17, pale)
    pen.oval(0.5, 0.25, 0.33, 0.24, fur)
    pen.oval(0.5, 0.33, 0.17, 0.11, pale)
    for x in (0.36, 0.64):
        pen.disc(x, 0.2, 0.032, DARK)
    pen.oval(0.5, 0.29, 0.055, 0.035, DARK)
    pen.poly(((0.5, 0.48), (0.3, 0.42), (0.3, 0.55), (0.7, 0.42), (0.7, 0.55)), look.second)


def backpack(pen: Pen, look: Look) -> None:
    """A rounded bag with a front pocket, straps and a handle."""
    cloth, dark = look.main, shade(look.main, 0.7)
    pen.ring(0.5, 0.08, 0.08, 0.04, DARK)
    for x in (0.06, 0.94):
        pen.stroke(((x, 0.36), (x + (0.05 if x < 0.5 else -0.05), 0.92)), 0.07, DARK)
    pen.poly(
        ((0.12, 0.98), (0.08, 0.36), (0.2, 0.14), (0.38, 0.06), (0.62, 0.06), (0.8, 0.14), (0.92, 0.36), (0.88, 0.98)),
        cloth,
    )
    pen.stroke(((0.12, 0.34), (0.5, 0.24), (0.88, 0.34)), 0.025, LIGHT)
    pen.poly(((0.2, 0.54), (0.8, 0.54), (0.84, 0.92), (0.16, 0.92)), look.second)
    pen.box(0.2, 0.6, 0.8, 0.64, dark)
    pen.box(0.46, 0.6, 0.54, 0.72, LIGHT)


def surfboard(pen: Pen, look: Look) -> None:
    """A tall pointed board with a stripe and a band."""
    pen.poly(
        (
            (0.5, 0.0),
            (0.78, 0.14),
            (0.98, 0.45),
            (0.9, 0.78),
            (0.66, 1.0),
            (0.34, 1.0),
            (0.1, 0.78),
            (0.02, 0.45),
            (0.22, 0.14),
        ),
        look.main,
    )
    pen.poly(((0.44, 0.04), (0.56, 0.04), (0.56, 1.0), (0.44, 1.0)), look.second)
    pen.poly(((0.06, 0.62), (0.94, 0.62), (0.92, 0.7), (0.08, 0.7)), look.second)
    pen.poly(((0.4, 0.86), (0.6, 0.86), (0.5, 0.98)), DARK)
