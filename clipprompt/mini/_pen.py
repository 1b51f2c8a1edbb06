"""Drawing in an object's own unit square: the pen maps it onto the canvas (place, size, flip, tilt)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]

_CIRCLE = [(math.cos(2 * math.pi * k / 20), math.sin(2 * math.pi * k / 20)) for k in range(20)]


def shade(colour: Colour, factor: float) -> Colour:
    """The colour darker (factor below 1) or mixed towards white (factor above 1)."""
    if factor <= 1:
        return int(colour[0] * factor), int(colour[1] * factor), int(colour[2] * factor)
    keep = 2 - factor
    return tuple(int(255 - (255 - channel) * keep) for channel in colour)  # type: ignore[return-value]


class Pen:
    """Draws shapes given in a unit square (x right, y down) through one affine map.

    Args:
        draw: Pillow's drawing context of the canvas.
        box: left, top, width, height of the unit square on the canvas, in pixels.
        flip: mirror left and right.
        tilt: rotation about the centre of the box, in degrees, clockwise on the screen.
    """

    def __init__(
        self, draw: ImageDraw.ImageDraw, box: tuple[float, float, float, float], flip: bool = False, tilt: float = 0.0
    ) -> None:
        left, top, width, height = box
        cos, sin = math.cos(math.radians(tilt)), math.sin(math.radians(tilt))
        across = -width if flip else width
        self._draw = draw
        self._a, self._b = across * cos, -height * sin
        self._c, self._d = across * sin, height * cos
        self._e = left + width / 2 - (self._a + self._b) / 2
        self._f = top + height / 2 - (self._c + self._d) / 2
        self._height = height
        self._aspect = width / max(height, 1e-6)

    def _map(self, points: Sequence[Point]) -> list[Point]:
        a, b, c, d, e, f = self._a, self._b, self._c, self._d, self._e, self._f
        return [(a * x + b * y + e, c * x + d * y + f) for x, y in points]

    def poly(self, points: Sequence[Point], fill: Colour) -> None:
        """A filled polygon."""
        self._draw.polygon(self._map(points), fill=fill)

    def box(self, left: float, top: float, right: float, bottom: float, fill: Colour) -> None:
        """A filled rectangle."""
        self.poly(((left, top), (right, top), (right, bottom), (left, bottom)), fill)

    def oval(self, x: float, y: float, rx: float, ry: float, fill: Colour, turn: float = 0.0) -> None:
        """A filled ellipse; radii are fractions of the box, ``turn`` is in degrees."""
        cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        self.poly([(x + rx * u * cos - ry * v * sin, y + rx * u * sin + ry * v * cos) for u, v in _CIRCLE], fill)

    def disc(self, x: float, y: float, radius: float, fill: Colour) -> None:
        """A filled circle that stays round; the radius is a fraction of the box's height."""
        self.oval(x, y, radius / self._aspect, radius, fill)

    def stroke(self, points: Sequence[Point], width: float, fill: Colour) -> None:
        """An open line; the width is a fraction of the box's height."""
        self._draw.line(self._map(points), fill=fill, width=max(1, round(width * self._height)), joint="curve")

    def ring(self, x: float, y: float, radius: float, width: float, fill: Colour) -> None:
        """A circle's outline, radius and width in fractions of the box's height."""
        rx = radius / self._aspect
        points = [(x + rx * u, y + radius * v) for u, v in _CIRCLE]
        self.stroke([*points, points[0], points[1]], width, fill)
