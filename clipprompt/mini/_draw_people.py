"""People: man, woman, boy and girl, standing, walking, waving or sitting."""

from __future__ import annotations

from clipprompt.mini._look import DARK, HAIR, SKIN, Look
from clipprompt.mini._pen import Colour, Pen, shade

SITTING = 3


def person(pen: Pen, look: Look) -> None:
    """Variants are man, woman, boy, girl; poses are standing, walking, one arm up, sitting."""
    tone = sum(look.second) + look.main[2]
    skin, hair = SKIN[tone % len(SKIN)], HAIR[(tone // 7) % len(HAIR)]
    child, long_hair = look.variant >= 2, look.variant % 2 == 1
    head = 0.125 if child else 0.09
    neck = 2 * head + 0.01
    hip = 0.62 if child else 0.54
    if look.pose == SITTING:
        # The upper body moves down, the thighs reach forward.
        hip += 0.1
        neck += 0.1
    if long_hair:
        pen.oval(0.5, neck - head + 0.03, 0.24 if not child else 0.3, head * 1.35, hair)
    _lower_body(pen, look, skin, hip)
    _arms(pen, look, skin, neck, hip)
    pen.poly(((0.28, neck + 0.02), (0.72, neck + 0.02), (0.7, hip + 0.02), (0.3, hip + 0.02)), look.main)
    pen.box(0.45, neck - 0.03, 0.55, neck + 0.03, shade(skin, 0.9))
    pen.disc(0.5, neck - head, head, skin)
    _hair(pen, hair, neck - head, head, long_hair)


def _hair(pen: Pen, hair: Colour, y: float, head: float, long_hair: bool) -> None:
    wide = head * 2.3
    pen.poly(
        (
            (0.5 - wide, y),
            (0.5 - wide * 0.85, y - head * 0.75),
            (0.5, y - head * 1.15),
            (0.5 + wide * 0.85, y - head * 0.75),
            (0.5 + wide, y),
            (0.5 + wide * 0.6, y - head * 0.4),
            (0.5 - wide * 0.5, y - head * 0.4),
        ),
        hair,
    )
    if long_hair:
        for side in (-1, 1):
            pen.poly(
                (
                    (0.5 + side * wide, y - head * 0.2),
                    (0.5 + side * wide * 0.75, y - head * 0.3),
                    (0.5 + side * wide * 0.8, y + head * 1.3),
                    (0.5 + side * wide * 1.1, y + head * 1.3),
                ),
                hair,
            )
    for eye in (-0.35, 0.35):
        pen.disc(0.5 + eye * wide, y + head * 0.05, 0.012, DARK)
    pen.stroke(((0.42, y + head * 0.5), (0.58, y + head * 0.5)), 0.01, (170, 70, 70))


def _arms(pen: Pen, look: Look, skin: Colour, neck: float, hip: float) -> None:
    top = neck + 0.045
    hands = {
        0: ((0.12, hip), (0.88, hip)),
        1: ((0.06, hip - 0.08), (0.92, hip - 0.1)),
        2: ((0.1, hip), (0.96, neck - 0.16)),
    }
    for shoulder, hand in zip((0.29, 0.71), hands.get(look.pose, ((0.2, hip), (0.95, hip - 0.06))), strict=True):
        middle = ((shoulder + hand[0]) / 2 + (0.04 if hand[0] > 0.5 else -0.04), (top + hand[1]) / 2)
        pen.stroke(((shoulder, top), middle), 0.065, look.main)
        pen.stroke((middle, hand), 0.05, skin)


def _lower_body(pen: Pen, look: Look, skin: Colour, hip: float) -> None:
    if look.pose == SITTING:
        pen.stroke(((0.4, hip), (0.84, hip + 0.03), (0.84, 0.97)), 0.085, look.second)
        pen.stroke(((0.4, hip), (0.72, hip + 0.05), (0.7, 0.97)), 0.085, shade(look.second, 0.8))
        pen.stroke(((0.8, 0.98), (0.96, 0.98)), 0.04, DARK)
        return
    spread = 0.2 if look.pose == 1 else 0.08
    left, right = 0.4 - spread, 0.6 + spread
    skirt = look.variant % 2 == 1
    legs = skin if skirt else look.second
    pen.stroke(((0.42, hip), ((0.4 + left) / 2, (hip + 1) / 2), (left, 0.97)), 0.075, shade(legs, 0.82))
    pen.stroke(((0.58, hip), ((0.62 + right) / 2, (hip + 1) / 2), (right, 0.97)), 0.075, legs)
    if skirt:
        pen.poly(((0.3, hip - 0.02), (0.7, hip - 0.02), (0.86, hip + 0.2), (0.14, hip + 0.2)), look.second)
    for x in (left, right):
        pen.stroke(((x - 0.06, 0.98), (x + 0.12, 0.98)), 0.04, DARK)
