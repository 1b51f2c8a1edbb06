"""Scenes of the mini world as descriptions: what stands where. Rasterising them is :mod:`clipprompt.mini.render`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from clipprompt.errors import UserError, nearest
from clipprompt.mini._backgrounds import BACKGROUNDS
from clipprompt.mini._look import COLOURS
from clipprompt.mini._place import Box, place, seat_on, visible_fractions
from clipprompt.mini.kinds import ALL, KINDS, SEATS, VOC_CLASSES

__all__ = [
    "KINDS",
    "SPLITS",
    "VOC_CLASSES",
    "Clutter",
    "Scene",
    "SceneObject",
    "sample_object_scene",
    "sample_scene",
    "scene_split",
    "split_seeds",
]

# First seeds of the splits, a hundred million each. "captions" is for corpora: its scenes are never drawn.
SPLITS: dict[str, int] = {
    "train": 0,
    "val": 100_000_000,
    "test": 200_000_000,
    "captions": 300_000_000,
    "extra": 400_000_000,
}
_SPLIT_SIZE = 100_000_000

_COUNTS = (1, 2, 3, 4, 5)
_COUNT_WEIGHTS = (20, 25, 25, 18, 12)
# An object counts as present when at least this part of it is seen and it is at least this high.
MIN_VISIBLE = 0.35
MIN_HEIGHT = 0.1


@dataclass(frozen=True)
class SceneObject:
    """One object: kind, box (left, top, width, height in fractions of the canvas), looks, visible fraction in 0..1."""

    kind: str
    box: Box
    flip: bool
    tilt: float
    colour: str
    second: str
    variant: int
    pose: int
    tint: tuple[int, int, int]
    visible: float = 1.0

    @property
    def present(self) -> bool:
        """Whether an annotator would see it: neither tiny nor almost wholly hidden."""
        return self.visible >= MIN_VISIBLE and self.box[3] >= MIN_HEIGHT


@dataclass(frozen=True)
class Clutter:
    """A shape that means nothing: a distractor behind the objects, or an occluder in front of them."""

    shape: str
    box: Box
    tilt: float
    colour: tuple[int, int, int]
    front: bool


@dataclass(frozen=True)
class Scene:
    """A whole scene; ``objects`` are in painting order, the last one in front."""

    seed: int
    background: str
    horizon: float
    objects: tuple[SceneObject, ...]
    clutter: tuple[Clutter, ...]
    light: tuple[float, float, float]

    @property
    def present(self) -> tuple[SceneObject, ...]:
        """The objects that an annotator would see."""
        return tuple(thing for thing in self.objects if thing.present)

    def labels(self, classes: Sequence[str] = VOC_CLASSES) -> list[int]:
        """Multi-hot labels over ``classes``: 1 where at least one object of the kind is present."""
        seen = {thing.kind for thing in self.present}
        return [int(name in seen) for name in classes]


def sample_scene(seed: int, kinds: Sequence[str] = KINDS) -> Scene:
    """The scene of a seed.

    Args:
        seed: any integer; the same seed gives the same scene.
        kinds: the kinds that may appear.

    Raises:
        UserError: for a kind that the mini world does not have.
    """
    _check_kinds(kinds)
    rng = Random(seed)
    background = rng.choice(tuple(BACKGROUNDS))
    horizon = rng.uniform(0.72, 0.88) if background == "sky" else rng.uniform(0.36, 0.58)
    objects = _sample_objects(rng, background, horizon, kinds)
    clutter = tuple(_sample_clutter(rng) for _ in range(rng.randrange(6)))
    hiding = [piece.box for piece in clutter if piece.front]
    seen = visible_fractions([thing.box for thing in objects], hiding)
    objects = [SceneObject(**{**vars(thing), "visible": part}) for thing, part in zip(objects, seen, strict=True)]
    dim = rng.uniform(0.72, 1.1)
    light = (dim * rng.uniform(0.92, 1.08), dim * rng.uniform(0.95, 1.05), dim * rng.uniform(0.9, 1.1))
    return Scene(seed, background, horizon, tuple(objects), clutter, light)


def sample_object_scene(seed: int, kinds: Sequence[str] = KINDS) -> Scene:
    """A scene of one object in full view: the kinds take turns, so that every one is there equally often.

    Args:
        seed: any integer; the same seed gives the same scene, which is none of ``sample_scene``'s.
        kinds: the kinds that take turns.

    Raises:
        UserError: for a kind that the mini world does not have.
    """
    _check_kinds(kinds)
    rng = Random(f"object {seed}")
    kind = kinds[seed % len(kinds)]
    horizon = rng.uniform(0.36, 0.58)
    thing = _sample_object(rng, kind, place(rng, ALL[kind], horizon, rng.uniform(1.1, 1.8), []))
    return Scene(seed, rng.choice(tuple(BACKGROUNDS)), horizon, (thing,), (), (1.0, 1.0, 1.0))


def _check_kinds(kinds: Sequence[str]) -> None:
    for kind in kinds:
        if kind not in ALL:
            raise UserError(f"the mini world draws no {kind!r}{nearest(kind, KINDS)}; it draws {', '.join(KINDS)}")


def _sample_objects(rng: Random, background: str, horizon: float, kinds: Sequence[str]) -> list[SceneObject]:
    count = rng.choices(_COUNTS, _COUNT_WEIGHTS)[0]
    zoom = rng.uniform(1.1, 1.8) if count == 1 else rng.uniform(0.7, 1.35)
    weights = [_weight(kind, background) for kind in kinds]
    things: list[SceneObject] = []
    while len(things) < count:
        again = bool(things) and rng.random() < 0.18
        kind = things[-1].kind if again else rng.choices(kinds, weights)[0]
        box = place(rng, ALL[kind], horizon, zoom, [thing.box for thing in things])
        things.append(_sample_object(rng, kind, box))
        if kind in SEATS and "person" in kinds and len(things) < count and rng.random() < 0.35:
            things.append(_sample_object(rng, "person", seat_on(rng, box, kind), sitting=True))
    return _paint_order(things)


def _paint_order(things: list[SceneObject]) -> list[SceneObject]:
    """Far (high feet) before near; a rider keeps their place right after the mount."""
    keys: list[float] = []
    for k, thing in enumerate(things):
        foot = thing.box[1] + thing.box[3]
        rides = thing.kind == "person" and thing.pose == 3 and k > 0 and things[k - 1].kind in SEATS
        keys.append(keys[-1] + 1e-6 if rides else foot)
    return [things[k] for k in sorted(range(len(things)), key=keys.__getitem__)]


def _weight(kind: str, background: str) -> float:
    weight = 7.0 if background in ALL[kind].homes else 1.0
    if kind == "person":
        weight *= 1.6
    return weight * (1.5 if kind in VOC_CLASSES else 1.0)


def _sample_object(rng: Random, kind: str, box: Box, sitting: bool = False) -> SceneObject:
    colours = ALL[kind].colours
    return SceneObject(
        kind=kind,
        box=box,
        flip=rng.random() < 0.5 and kind != "stop sign",
        tilt=rng.uniform(-16, 16) if ALL[kind].flies else rng.uniform(-7, 7),
        colour=rng.choice(colours),
        second=rng.choice(tuple(COLOURS)),
        variant=rng.randrange(4),
        pose=3 if sitting else rng.randrange(3) if kind == "person" else rng.randrange(4),
        tint=(rng.randint(-16, 16), rng.randint(-16, 16), rng.randint(-16, 16)),
    )


def _sample_clutter(rng: Random) -> Clutter:
    wide, high = rng.uniform(0.04, 0.22), rng.uniform(0.04, 0.22)
    box = (rng.uniform(-0.1, 1.0), rng.uniform(0.1, 1.0), wide, high)
    colour = (rng.randint(20, 235), rng.randint(20, 235), rng.randint(20, 235))
    shape = rng.choice(("box", "disc", "triangle", "pole", "bush", "stripes"))
    if shape == "pole":
        box = (box[0], rng.uniform(-0.1, 0.4), 0.03, 0.7)
    return Clutter(shape, box, rng.uniform(-30, 30) if shape != "pole" else 0.0, colour, rng.random() < 0.4)


def split_seeds(name: str, n: int) -> range:
    """The seeds of the first ``n`` scenes of a split; splits never share a seed.

    Raises:
        UserError: for an unknown split, or more scenes than it holds.
    """
    if name not in SPLITS:
        raise UserError(f"no split {name!r} of the mini world{nearest(name, SPLITS)}; there are {', '.join(SPLITS)}")
    if not 0 <= n <= _SPLIT_SIZE:
        raise UserError(f"a split of the mini world holds 0 to {_SPLIT_SIZE} scenes, not {n}")
    return range(SPLITS[name], SPLITS[name] + n)


def scene_split(name: str, n: int, kinds: Sequence[str] = KINDS) -> list[Scene]:
    """The first ``n`` scenes of a split: train, val, test, captions (never drawn) or extra.

    Raises:
        UserError: as :func:`split_seeds` and :func:`sample_scene`.
    """
    return [sample_scene(seed, kinds) for seed in split_seeds(name, n)]
