"""The animals, side view, looking to the right, feet on the lower edge."""

from __future__ import annotations

from collections.abc import Sequence

from clipprompt.mini._look import DARK, LIGHT, Look
from clipprompt.mini._pen import Colour, Pen, shade


def _legs(pen: Pen, xs: Sequence[float], top: float, width: float, colour: Colour, stride: float) -> None:
    """Far legs darker, feet spread by the stride."""
    for k, x in enumerate(xs):
        lean = stride if k % 2 else -stride
        tone = shade(colour, 0.72) if k % 2 else colour
        pen.poly(((x - width, top), (x + width, top), (x + width * 0.8 + lean, 1), (x - width * 0.8 + lean, 1)), tone)


def _eye(pen: Pen, x: float, y: float, radius: float = 0.022) -> None:
    pen.disc(x, y, radius, DARK)


def bird(pen: Pen, look: Look) -> None:
    """Flying with both wings up or spread, or perched; a small beak and a fan tail."""
    body, wing = look.main, shade(look.main, 0.7)
    beak = (232, 160, 40)
    if look.pose % 2 == 0:
        pen.poly(((0.0, 0.52), (0.02, 0.76), (0.3, 0.62)), wing)
        pen.poly(((0.5, 0.55), (0.2, 0.0), (0.42, 0.05), (0.68, 0.5)), wing)
        pen.oval(0.48, 0.62, 0.3, 0.17, body)
        pen.disc(0.78, 0.5, 0.13, body)
        pen.poly(((0.86, 0.45), (1.0, 0.53), (0.86, 0.57)), beak)
        pen.poly(((0.36, 0.6), (0.3, 0.12), (0.52, 0.16), (0.62, 0.6)), look.second)
        _eye(pen, 0.8, 0.47, 0.03)
        return
    pen.poly(((0.0, 0.72), (0.08, 0.86), (0.4, 0.66), (0.3, 0.5)), wing)
    for x in (0.46, 0.56):
        pen.stroke(((x, 0.75), (x, 0.98), (x + 0.1, 0.98)), 0.035, beak)
    pen.oval(0.48, 0.55, 0.28, 0.24, body, -25)
    pen.oval(0.42, 0.57, 0.22, 0.12, look.second, 25)
    pen.disc(0.7, 0.27, 0.17, body)
    pen.poly(((0.8, 0.2), (1.0, 0.3), (0.8, 0.36)), beak)
    _eye(pen, 0.74, 0.24, 0.035)


def cat(pen: Pen, look: Look) -> None:
    """Pointed ears, whiskers, a curled tail; sitting, or standing with the tail up."""
    fur, dark = look.main, shade(look.main, 0.72)
    if look.pose % 2 == 0:
        pen.stroke(((0.3, 0.9), (0.08, 0.86), (0.04, 0.62), (0.14, 0.5)), 0.08, dark)
        pen.oval(0.45, 0.72, 0.27, 0.28, fur)
        pen.poly(((0.5, 0.4), (0.72, 0.5), (0.74, 1.0), (0.5, 1.0)), fur)
        pen.stroke(((0.6, 0.98), (0.6, 0.72)), 0.03, dark)
        face_x, face_y = 0.62, 0.3
    else:
        pen.stroke(((0.14, 0.58), (0.03, 0.36), (0.1, 0.12), (0.02, 0.02)), 0.08, dark)
        _legs(pen, (0.18, 0.28, 0.58, 0.66), 0.6, 0.04, fur, 0.02)
        pen.oval(0.41, 0.58, 0.34, 0.17, fur)
        for x in (0.28, 0.4, 0.52):
            pen.stroke(((x, 0.43), (x + 0.02, 0.58)), 0.04, dark)
        face_x, face_y = 0.77, 0.36
    _cat_face(pen, face_x, face_y, fur)


def _cat_face(pen: Pen, x: float, y: float, fur: Colour) -> None:
    for side in (-1, 1):
        pen.poly(((x + side * 0.19, y - 0.02), (x + side * 0.19, y - 0.29), (x + side * 0.02, y - 0.14)), fur)
        pen.poly(
            ((x + side * 0.15, y - 0.08), (x + side * 0.16, y - 0.22), (x + side * 0.07, y - 0.14)), (224, 150, 150)
        )
    pen.oval(x, y, 0.2, 0.19, fur)
    for side in (-1, 1):
        pen.oval(x + side * 0.08, y - 0.02, 0.04, 0.045, (150, 200, 70))
        pen.oval(x + side * 0.08, y - 0.02, 0.014, 0.04, DARK)
        pen.stroke(((x + side * 0.06, y + 0.09), (x + side * 0.24, y + 0.06)), 0.012, LIGHT)
    pen.poly(((x - 0.03, y + 0.05), (x + 0.03, y + 0.05), (x, y + 0.1)), (220, 110, 120))


def dog(pen: Pen, look: Look) -> None:
    """A long snout, hanging ears, a raised tail, a collar; standing or sitting."""
    fur, dark = look.main, shade(look.main, 0.66)
    if look.pose % 2 == 0:
        pen.stroke(((0.12, 0.5), (0.02, 0.22)), 0.08, fur)
        _legs(pen, (0.17, 0.26, 0.56, 0.65), 0.6, 0.045, fur, 0.015)
        pen.oval(0.4, 0.55, 0.33, 0.17, fur)
        pen.poly(((0.55, 0.5), (0.6, 0.2), (0.78, 0.3), (0.7, 0.62)), fur)
        head_x, head_y = 0.72, 0.26
    else:
        pen.stroke(((0.24, 0.92), (0.04, 0.78)), 0.08, fur)
        pen.oval(0.34, 0.8, 0.24, 0.2, fur)
        pen.poly(((0.3, 0.62), (0.5, 0.3), (0.68, 0.4), (0.66, 1.0), (0.52, 1.0), (0.48, 0.8)), fur)
        head_x, head_y = 0.6, 0.24
    pen.stroke(((head_x - 0.11, head_y + 0.16), (head_x + 0.04, head_y + 0.2)), 0.05, look.second)
    pen.oval(head_x, head_y, 0.15, 0.16, fur)
    pen.poly(
        (
            (head_x, head_y - 0.04),
            (head_x + 0.27, head_y + 0.02),
            (head_x + 0.26, head_y + 0.14),
            (head_x, head_y + 0.14),
        ),
        fur,
    )
    pen.disc(head_x + 0.26, head_y + 0.04, 0.04, DARK)
    pen.poly(
        ((head_x + 0.12, head_y + 0.14), (head_x + 0.17, head_y + 0.14), (head_x + 0.15, head_y + 0.24)),
        (224, 100, 110),
    )
    pen.oval(head_x - 0.09, head_y + 0.06, 0.06, 0.17, dark, 10)
    _eye(pen, head_x + 0.06, head_y - 0.03, 0.028)


def horse(pen: Pen, look: Look) -> None:
    """Long legs, a long neck with a mane, a falling tail; head up or grazing."""
    coat, mane = look.main, shade(look.main, 0.42)
    pen.poly(((0.1, 0.36), (0.0, 0.5), (0.02, 0.84), (0.08, 0.78), (0.15, 0.44)), mane)
    _legs(pen, (0.18, 0.27, 0.58, 0.66), 0.52, 0.035, coat, 0.02 + 0.02 * (look.pose % 2))
    for x in (0.16, 0.29, 0.56, 0.68):
        pen.box(x - 0.03, 0.95, x + 0.03, 1.0, DARK)
    pen.oval(0.41, 0.46, 0.31, 0.16, coat)
    if look.pose % 3 == 2:
        pen.poly(((0.56, 0.34), (0.68, 0.36), (0.93, 0.66), (0.82, 0.8), (0.64, 0.56)), coat)
        pen.oval(0.9, 0.83, 0.075, 0.17, coat, 18)
        pen.stroke(((0.6, 0.33), (0.74, 0.41), (0.92, 0.62)), 0.06, mane)
        pen.poly(((0.9, 0.68), (1.0, 0.6), (0.96, 0.72)), coat)
        _eye(pen, 0.93, 0.78, 0.02)
        return
    pen.poly(((0.54, 0.42), (0.7, 0.08), (0.84, 0.16), (0.71, 0.54)), coat)
    pen.oval(0.84, 0.2, 0.165, 0.075, coat, 38)
    pen.poly(((0.72, 0.1), (0.75, -0.02), (0.8, 0.1)), coat)
    pen.poly(((0.72, 0.03), (0.5, 0.34), (0.56, 0.42), (0.76, 0.1)), mane)
    _eye(pen, 0.8, 0.16, 0.02)


def cow(pen: Pen, look: Look) -> None:
    """A heavy box of a body with patches, horns, an udder, a pink muzzle; head up or grazing."""
    coat = look.main
    patch = LIGHT if sum(coat) < 330 else shade(coat, 0.3)
    pen.stroke(((0.06, 0.34), (0.01, 0.5), (0.03, 0.74)), 0.03, coat)
    _legs(pen, (0.12, 0.22, 0.6, 0.69), 0.62, 0.045, coat, 0.005)
    pen.oval(0.3, 0.74, 0.08, 0.07, (236, 170, 170))
    pen.poly(
        ((0.05, 0.3), (0.12, 0.22), (0.7, 0.22), (0.78, 0.34), (0.76, 0.66), (0.66, 0.72), (0.14, 0.72), (0.05, 0.6)),
        coat,
    )
    pen.oval(0.24, 0.4, 0.12, 0.13, patch, 20)
    pen.oval(0.55, 0.52, 0.12, 0.11, patch, -20)
    pen.oval(0.46, 0.28, 0.07, 0.06, patch)
    x, y = (0.85, 0.68) if look.pose % 2 else (0.84, 0.3)
    pen.poly(((0.68, 0.26), (x - 0.06, y - 0.12), (x, y + 0.14), (0.7, 0.6)), coat)
    pen.stroke(((x - 0.1, y - 0.12), (x - 0.1, y - 0.26), (x - 0.04, y - 0.3)), 0.035, (224, 214, 190))
    pen.stroke(((x + 0.03, y - 0.12), (x + 0.06, y - 0.24), (x + 0.12, y - 0.28)), 0.035, (224, 214, 190))
    pen.oval(x - 0.14, y - 0.06, 0.07, 0.04, shade(coat, 0.7), 15)
    pen.poly(((x - 0.09, y - 0.14), (x + 0.07, y - 0.14), (x + 0.13, y + 0.14), (x - 0.03, y + 0.16)), coat)
    pen.oval(x + 0.06, y + 0.13, 0.09, 0.075, (232, 176, 170))
    _eye(pen, x + 0.01, y - 0.04, 0.026)


def sheep(pen: Pen, look: Look) -> None:
    """A fleece of round tufts, a dark narrow face, short thin legs."""
    fleece = look.main
    face = (64, 54, 50) if sum(fleece) > 300 else (180, 160, 140)
    _legs(pen, (0.24, 0.34, 0.58, 0.67), 0.68, 0.028, face, 0.0)
    tufts = (
        (0.16, 0.42),
        (0.28, 0.28),
        (0.45, 0.24),
        (0.61, 0.28),
        (0.7, 0.42),
        (0.68, 0.6),
        (0.54, 0.7),
        (0.36, 0.71),
    )
    for k, (x, y) in enumerate((*tufts, (0.2, 0.6))):
        pen.disc(x, y, 0.16, shade(fleece, 0.9 if k > 5 else 1.0))
    pen.oval(0.44, 0.48, 0.28, 0.24, fleece)
    for x, y in ((0.32, 0.42), (0.48, 0.38), (0.42, 0.56), (0.58, 0.52)):
        pen.ring(x, y, 0.05, 0.025, shade(fleece, 0.84))
    y = 0.62 if look.pose % 2 else 0.36
    pen.oval(0.74, y - 0.08, 0.08, 0.035, face, -20)
    pen.oval(0.85, y + 0.02, 0.085, 0.15, face, -25)
    pen.disc(0.79, y - 0.1, 0.09, fleece)
    pen.disc(0.85, y - 0.01, 0.022, LIGHT)


def elephant(pen: Pen, look: Look) -> None:
    """A huge body, a fan ear, a trunk, a tusk."""
    hide, dark = look.main, shade(look.main, 0.78)
    pen.stroke(((0.06, 0.36), (0.01, 0.62)), 0.03, dark)
    for k, x in enumerate((0.14, 0.28, 0.5, 0.63)):
        pen.box(x - 0.06, 0.58, x + 0.06, 1.0, dark if k % 2 else hide)
        pen.box(x - 0.05, 0.95, x + 0.05, 1.0, shade(hide, 1.4))
    pen.oval(0.38, 0.42, 0.35, 0.32, hide)
    pen.oval(0.76, 0.36, 0.17, 0.24, hide)
    if look.pose % 2:
        pen.stroke(((0.88, 0.42), (0.95, 0.3), (0.93, 0.12), (0.99, 0.04)), 0.09, hide)
    else:
        pen.stroke(((0.88, 0.4), (0.94, 0.62), (0.92, 0.84), (0.98, 0.9)), 0.1, hide)
    pen.poly(((0.8, 0.52), (0.86, 0.5), (0.97, 0.56), (0.96, 0.6)), LIGHT)
    pen.oval(0.62, 0.36, 0.13, 0.22, dark, 8)
    _eye(pen, 0.81, 0.3, 0.022)


def giraffe(pen: Pen, look: Look) -> None:
    """A neck as long as the legs, brown patches, two little horns."""
    hide, patch = (228, 186, 104), shade(look.main, 0.85)
    _legs(pen, (0.14, 0.26, 0.5, 0.62), 0.58, 0.04, hide, 0.01)
    pen.stroke(((0.1, 0.48), (0.04, 0.68)), 0.02, patch)
    pen.oval(0.38, 0.53, 0.31, 0.11, hide, -8)
    pen.poly(((0.5, 0.5), (0.72, 0.1), (0.84, 0.12), (0.7, 0.56)), hide)
    pen.oval(0.85, 0.1, 0.15, 0.045, hide, 12)
    for x in (0.74, 0.8):
        pen.stroke(((x, 0.07), (x - 0.01, 0.01)), 0.016, patch)
    for x, y in (
        (0.2, 0.52),
        (0.32, 0.47),
        (0.3, 0.57),
        (0.44, 0.53),
        (0.54, 0.58),
        (0.55, 0.47),
        (0.61, 0.4),
        (0.65, 0.5),
        (0.68, 0.3),
        (0.72, 0.2),
    ):
        pen.oval(x, y, 0.055, 0.027, patch, 30)
    for x in (0.14, 0.26, 0.5, 0.62):
        pen.oval(x, 0.68, 0.03, 0.02, patch)
    _eye(pen, 0.83, 0.09, 0.01)


def zebra(pen: Pen, look: Look) -> None:
    """A horse's outline, white with black stripes and a brush mane."""
    white, black = (238, 236, 230), DARK
    _legs(pen, (0.18, 0.27, 0.58, 0.66), 0.54, 0.036, white, 0.02)
    for x in (0.17, 0.28, 0.57, 0.67):
        for y in (0.7, 0.8, 0.9):
            pen.box(x - 0.03, y, x + 0.03, y + 0.04, black)
    pen.stroke(((0.1, 0.4), (0.03, 0.66)), 0.04, black)
    pen.oval(0.41, 0.46, 0.31, 0.17, white)
    grazing = look.pose % 3 == 2
    # The four corners of the neck: nape, poll, throat, chest.
    nape, poll, throat, chest = (
        ((0.57, 0.34), (0.93, 0.64), (0.83, 0.8), (0.66, 0.56))
        if grazing
        else ((0.54, 0.4), (0.7, 0.1), (0.83, 0.18), (0.71, 0.54))
    )
    pen.poly((nape, poll, throat, chest), white)
    if grazing:
        pen.oval(0.9, 0.83, 0.075, 0.17, white, 18)
        pen.disc(0.88, 0.96, 0.04, black)
    else:
        pen.oval(0.85, 0.22, 0.16, 0.08, white, 38)
        pen.oval(0.95, 0.31, 0.035, 0.035, black)
    pen.stroke((nape, poll), 0.05, black)
    for t in (0.15, 0.39, 0.63, 0.87):
        start = (nape[0] + t * (poll[0] - nape[0]), nape[1] + t * (poll[1] - nape[1]))
        end = (chest[0] + t * (throat[0] - chest[0]), chest[1] + t * (throat[1] - chest[1]))
        pen.stroke((start, end), 0.035, black)
    for k in range(7):
        x = 0.16 + 0.075 * k
        half = 0.15 - 0.012 * abs(k - 3) ** 2
        pen.poly(
            ((x - 0.018, 0.46 - half), (x + 0.02, 0.46 - half), (x + 0.035, 0.46 + half), (x + 0.01, 0.46 + half)),
            black,
        )
