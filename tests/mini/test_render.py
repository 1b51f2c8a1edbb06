from __future__ import annotations

from random import Random

import numpy as np
import pytest
from PIL import Image, ImageDraw

from clipprompt.mini._backgrounds import BACKGROUNDS
from clipprompt.mini._pen import Pen
from clipprompt.mini.kinds import ALL, KINDS
from clipprompt.mini.render import draw_object, render_scene, render_seeds
from clipprompt.mini.scenes import SceneObject, sample_scene

SIDE = 96
# A bunch of bananas rises above the box of one.
HEADROOM = {"banana": 0.25}


def _thing(kind: str, **changes: object) -> SceneObject:
    high = 0.5
    wide = min(high * ALL[kind].aspect, 0.7)
    looks: dict[str, object] = {
        "kind": kind,
        "box": (0.5 - wide / 2, 0.25, wide, high),
        "flip": False,
        "tilt": 0.0,
        "colour": ALL[kind].colours[0],
        "second": "blue",
        "variant": 0,
        "pose": 0,
        "tint": (0, 0, 0),
        **changes,
    }
    return SceneObject(**looks)  # type: ignore[arg-type]


def _canvas(background: str) -> Image.Image:
    canvas = Image.new("RGB", (SIDE, SIDE))
    BACKGROUNDS[background](Pen(ImageDraw.Draw(canvas), (0, 0, SIDE, SIDE)), Random(1), 0.5)
    return canvas


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_backgrounds_fill_the_canvas(background: str) -> None:
    canvas = Image.new("RGB", (SIDE, SIDE), (255, 0, 255))
    BACKGROUNDS[background](Pen(ImageDraw.Draw(canvas), (0, 0, SIDE, SIDE)), Random(1), 0.5)
    assert not (np.asarray(canvas) == (255, 0, 255)).all(2).any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_drawn_inside_its_box_on_every_background(kind: str) -> None:
    for background in BACKGROUNDS:
        for look in range(4):
            thing = _thing(kind, variant=look, pose=look, flip=look % 2 == 1)
            before = _canvas(background)
            after = before.copy()
            draw_object(ImageDraw.Draw(after), thing, SIDE)
            rows, columns = np.nonzero((np.asarray(before) != np.asarray(after)).any(2))
            left, top, wide, high = (value * SIDE for value in thing.box)
            assert len(rows) > 0.2 * wide * high
            assert left - 0.1 * wide - 2 <= columns.min() <= columns.max() <= left + 1.1 * wide + 2
            assert top - HEADROOM.get(kind, 0.1) * high - 2 <= rows.min() <= rows.max() <= top + 1.1 * high + 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_looks_like_no_other(kind: str) -> None:
    def drawn(name: str) -> np.ndarray:
        picture = Image.new("RGB", (SIDE, SIDE), (255, 0, 255))
        draw_object(ImageDraw.Draw(picture), _thing(name), SIDE)
        return np.asarray(picture, dtype=int)

    own = drawn(kind)
    for other in KINDS:
        if other != kind:
            assert (np.abs(own - drawn(other)).max(2) > 20).mean() > 0.03, f"{kind} looks like {other}"


@pytest.mark.parametrize("size", [64, 256])
def test_a_seed_is_a_picture(size: int) -> None:
    one, two, other = (render_scene(sample_scene(seed), size) for seed in (5, 5, 6))
    assert one.size == (size, size)
    assert one.tobytes() == two.tobytes()
    assert one.tobytes() != other.tobytes()


def test_a_scene_looks_the_same_at_any_size() -> None:
    scene = sample_scene(11)
    small = np.asarray(render_scene(scene, 64), dtype=float)
    large = np.asarray(render_scene(scene, 256).reduce(4), dtype=float)
    assert np.abs(small - large).mean() < 12


def test_flip_mirrors_the_drawing() -> None:
    pictures = []
    for flip in (False, True):
        canvas = Image.new("RGB", (SIDE, SIDE))
        draw_object(ImageDraw.Draw(canvas), _thing("dog", flip=flip), SIDE)
        pictures.append(np.asarray(canvas, dtype=int))
    mirrored = pictures[1][:, ::-1]
    assert (np.abs(pictures[0] - mirrored).max(2) > 40).mean() < 0.05
    assert (np.abs(pictures[0] - pictures[1]).max(2) > 40).mean() > 0.05


def test_a_stop_sign_is_never_mirrored() -> None:
    seen = [thing for seed in range(3000) for thing in sample_scene(seed, ("stop sign", "car")).objects]
    assert not any(thing.flip for thing in seen if thing.kind == "stop sign")
    assert any(thing.flip for thing in seen if thing.kind == "car")


def test_many_pictures_are_the_single_pictures() -> None:
    seeds = range(40, 44)
    block = render_seeds(seeds, 64)
    assert block.shape == (4, 64, 64, 3)
    for picture, seed in zip(block, seeds, strict=True):
        assert (picture == np.asarray(render_scene(sample_scene(seed)))).all()


def test_processes_draw_the_same_pictures() -> None:
    seeds = range(260)
    assert (render_seeds(seeds, 16, workers=2) == render_seeds(seeds, 16)).all()


def test_no_picture_of_no_seed() -> None:
    assert render_seeds(range(0), 64).shape == (0, 64, 64, 3)
