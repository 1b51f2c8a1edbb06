"""What a drawing is told about its object: two colours, a pose, a variant."""

from __future__ import annotations

from dataclasses import dataclass

from clipprompt.mini._pen import Colour

COLOURS: dict[str, Colour] = {
    "red": (200, 42, 40),
    "blue": (45, 88, 185),
    "green": (52, 138, 62),
    "yellow": (236, 204, 52),
    "orange": (234, 130, 36),
    "white": (240, 240, 236),
    "black": (36, 36, 42),
    "gray": (136, 136, 142),
    "brown": (126, 78, 44),
    "pink": (234, 150, 176),
    "purple": (124, 70, 154),
    "tan": (206, 166, 116),
}

SKIN: tuple[Colour, ...] = ((244, 208, 178), (226, 180, 142), (186, 132, 92), (122, 80, 54))
HAIR: tuple[Colour, ...] = ((52, 36, 26), (28, 26, 28), (150, 100, 50), (214, 176, 96), (120, 60, 30), (170, 170, 170))
DARK: Colour = (38, 38, 44)
LIGHT: Colour = (236, 238, 240)
GLASS: Colour = (164, 204, 226)
STEEL: Colour = (150, 154, 160)


@dataclass(frozen=True)
class Look:
    """Colours and pose of one drawn object.

    Attributes:
        main: the colour that a caption would name.
        second: a colour for parts (clothes, stripes, cushions).
        variant: which member of the kind, in 0..3 (for a person: man, woman, boy, girl).
        pose: how it stands or looks, in 0..3; every drawing takes it modulo what it knows.
    """

    main: Colour
    second: Colour
    variant: int = 0
    pose: int = 0
