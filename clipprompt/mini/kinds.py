"""The forty kinds of the mini world: how each is drawn, how large it is, and where it is at home."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from clipprompt.mini import _draw_animals as animals
from clipprompt.mini import _draw_people as people
from clipprompt.mini import _draw_rooms as rooms
from clipprompt.mini import _draw_things as things
from clipprompt.mini import _draw_vehicles as vehicles
from clipprompt.mini._look import Look
from clipprompt.mini._pen import Pen

_ANY = ("red", "blue", "green", "yellow", "orange", "white", "black", "gray", "brown", "pink", "purple", "tan")
_PAINT = ("red", "blue", "green", "yellow", "orange", "white", "black", "gray", "purple")
_WOOD = ("brown", "tan", "white", "black", "red", "blue")
_OUTSIDE = ("field", "street", "beach", "snow", "forest", "mountains", "desert")
_INSIDE = ("room", "kitchen")


@dataclass(frozen=True)
class Kind:
    """How one kind of object is drawn.

    Attributes:
        draw: draws it into a pen's unit square.
        height: usual height when near, as a fraction of the canvas.
        aspect: width over height.
        colours: what its main colour can be.
        homes: the backgrounds where it is more likely to be.
        flies: placed above the horizon rather than on the ground.
    """

    draw: Callable[[Pen, Look], None]
    height: float
    aspect: float
    colours: tuple[str, ...] = _ANY
    homes: tuple[str, ...] = _OUTSIDE
    flies: bool = False


VOC: dict[str, Kind] = {
    "aeroplane": Kind(vehicles.aeroplane, 0.26, 2.0, _PAINT, ("sky", "mountains"), True),
    "bicycle": Kind(vehicles.bicycle, 0.36, 1.55, _ANY, ("street", "field", "forest")),
    "bird": Kind(animals.bird, 0.22, 1.25, _ANY, ("sky", "sea", "beach", "forest"), True),
    "boat": Kind(vehicles.boat, 0.42, 1.15, _PAINT, ("sea", "beach")),
    "bottle": Kind(rooms.bottle, 0.32, 0.36, ("green", "brown", "blue", "red", "white", "black"), _INSIDE),
    "bus": Kind(vehicles.bus, 0.4, 1.8, _PAINT, ("street", "night")),
    "car": Kind(vehicles.car, 0.28, 2.1, _PAINT, ("street", "night", "desert")),
    "cat": Kind(
        animals.cat, 0.3, 1.05, ("orange", "gray", "black", "white", "brown", "tan"), ("room", "kitchen", "field")
    ),
    "chair": Kind(rooms.chair, 0.36, 0.72, _ANY, _INSIDE),
    "cow": Kind(animals.cow, 0.36, 1.45, ("brown", "black", "white", "tan"), ("field", "mountains")),
    "diningtable": Kind(rooms.diningtable, 0.3, 1.75, _WOOD, _INSIDE),
    "dog": Kind(
        animals.dog,
        0.3,
        1.15,
        ("brown", "black", "white", "tan", "gray", "orange"),
        ("field", "room", "beach", "street"),
    ),
    "horse": Kind(
        animals.horse, 0.44, 1.15, ("brown", "black", "white", "gray", "tan"), ("field", "beach", "mountains")
    ),
    "motorbike": Kind(vehicles.motorbike, 0.34, 1.5, _PAINT, ("street", "night", "desert")),
    "person": Kind(people.person, 0.56, 0.4, _ANY, (*_OUTSIDE, *_INSIDE, "night")),
    "pottedplant": Kind(rooms.pottedplant, 0.36, 0.75, ("brown", "orange", "white", "blue", "red", "gray"), _INSIDE),
    "sheep": Kind(animals.sheep, 0.3, 1.3, ("white", "black", "gray", "tan"), ("field", "mountains")),
    "sofa": Kind(rooms.sofa, 0.34, 1.8, _ANY, ("room",)),
    "train": Kind(vehicles.train, 0.34, 2.3, _PAINT, ("mountains", "field", "desert")),
    "tvmonitor": Kind(rooms.tvmonitor, 0.32, 1.3, ("black", "blue", "gray", "green", "white"), _INSIDE),
}

MORE: dict[str, Kind] = {
    "traffic light": Kind(things.traffic_light, 0.46, 0.34, ("black",), ("street", "night")),
    "fire hydrant": Kind(things.fire_hydrant, 0.28, 0.62, ("red", "yellow", "orange", "green", "blue"), ("street",)),
    "stop sign": Kind(things.stop_sign, 0.44, 0.66, ("red",), ("street", "desert")),
    "bench": Kind(rooms.bench, 0.28, 1.8, _WOOD, ("field", "forest", "beach")),
    "truck": Kind(vehicles.truck, 0.38, 1.8, _PAINT, ("street", "desert", "night")),
    "elephant": Kind(animals.elephant, 0.44, 1.25, ("gray", "brown"), ("field", "forest", "desert")),
    "zebra": Kind(animals.zebra, 0.42, 1.15, ("white",), ("field", "desert")),
    "giraffe": Kind(animals.giraffe, 0.62, 0.72, ("brown", "orange"), ("field", "forest", "desert")),
    "backpack": Kind(things.backpack, 0.28, 0.78, _ANY, (*_OUTSIDE, "room")),
    "umbrella": Kind(things.umbrella, 0.34, 1.0, _ANY, ("beach", "street")),
    "kite": Kind(things.kite, 0.32, 0.72, _ANY, ("sky", "beach", "field"), True),
    "surfboard": Kind(things.surfboard, 0.46, 0.32, _ANY, ("beach", "sea")),
    "cup": Kind(rooms.cup, 0.2, 1.15, _ANY, _INSIDE),
    "banana": Kind(things.banana, 0.18, 1.4, ("yellow", "green"), ("kitchen",)),
    "apple": Kind(things.apple, 0.2, 0.95, ("red", "green", "yellow"), ("kitchen",)),
    "pizza": Kind(things.pizza, 0.24, 1.3, ("yellow",), ("kitchen",)),
    "laptop": Kind(rooms.laptop, 0.26, 1.3, ("blue", "white", "gray", "green"), ("room",)),
    "book": Kind(rooms.book, 0.22, 1.2, _ANY, ("room",)),
    "clock": Kind(rooms.clock, 0.26, 1.0, _ANY, ("room", "kitchen"), True),
    "teddy bear": Kind(things.teddy_bear, 0.3, 0.85, ("brown", "tan", "pink", "white", "gray"), ("room",)),
}

ALL: dict[str, Kind] = {**VOC, **MORE}
VOC_CLASSES: tuple[str, ...] = tuple(VOC)
KINDS: tuple[str, ...] = tuple(ALL)
# Furniture and mounts that a person can be drawn on, and how high above their foot (fraction of their height).
SEATS: dict[str, float] = {
    "horse": 0.36,
    "bicycle": 0.22,
    "motorbike": 0.28,
    "chair": 0.0,
    "sofa": 0.06,
    "bench": 0.02,
    "elephant": 0.5,
}
