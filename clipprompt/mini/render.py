"""Rasterises scenes with Pillow: the same scene at any size, the same bytes for the same seed."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from clipprompt.mini._backgrounds import BACKGROUNDS
from clipprompt.mini._look import COLOURS, Look
from clipprompt.mini._pen import Colour, Pen, shade
from clipprompt.mini.kinds import ALL, KINDS
from clipprompt.mini.scenes import Clutter, Scene, SceneObject, sample_scene

_NOISE = 5.0


def render_scene(scene: Scene, size: int = 64) -> Image.Image:
    """Draws a scene.

    Args:
        scene: what to draw.
        size: side of the square picture in pixels; scored pictures have 64.

    Returns:
        An RGB picture. It is drawn larger and averaged down, so that edges are smooth.
    """
    factor = 3 if size <= 128 else 2
    side = size * factor
    canvas = Image.new("RGB", (side, side))
    draw = ImageDraw.Draw(canvas)
    BACKGROUNDS[scene.background](Pen(draw, (0, 0, side, side)), Random(scene.seed + 1), scene.horizon)
    for piece in scene.clutter:
        if not piece.front:
            _draw_clutter(draw, piece, side)
    for thing in scene.objects:
        draw_object(draw, thing, side)
    for piece in scene.clutter:
        if piece.front:
            _draw_clutter(draw, piece, side)
    return _light(canvas.reduce(factor), scene)


def draw_object(draw: ImageDraw.ImageDraw, thing: SceneObject, side: int) -> None:
    """Draws one object onto a canvas of ``side`` pixels."""
    left, top, wide, high = (value * side for value in thing.box)
    look = Look(_tinted(COLOURS[thing.colour], thing), _tinted(COLOURS[thing.second], thing), thing.variant, thing.pose)
    ALL[thing.kind].draw(Pen(draw, (left, top, wide, high), thing.flip, thing.tilt), look)


def _tinted(colour: Colour, thing: SceneObject) -> Colour:
    red, green, blue = (max(0, min(255, channel + shift)) for channel, shift in zip(colour, thing.tint, strict=True))
    return red, green, blue


def _draw_clutter(draw: ImageDraw.ImageDraw, piece: Clutter, side: int) -> None:
    left, top, wide, high = (value * side for value in piece.box)
    pen = Pen(draw, (left, top, wide, high), tilt=piece.tilt)
    if piece.shape in ("box", "pole"):
        pen.box(0, 0, 1, 1, piece.colour)
    elif piece.shape == "disc":
        pen.oval(0.5, 0.5, 0.5, 0.5, piece.colour)
    elif piece.shape == "triangle":
        pen.poly(((0, 1), (0.5, 0), (1, 1)), piece.colour)
    elif piece.shape == "bush":
        for x, y in ((0.3, 0.6), (0.7, 0.6), (0.5, 0.35), (0.5, 0.75)):
            pen.oval(x, y, 0.3, 0.28, shade((62, 116, 58), 0.8 + x * 0.4))
    else:
        for k in range(4):
            pen.box(0, k / 4, 1, k / 4 + 0.14, piece.colour)


def _light(picture: Image.Image, scene: Scene) -> Image.Image:
    pixels = np.asarray(picture, dtype=np.float32) * np.asarray(scene.light, dtype=np.float32)
    noise = np.random.default_rng(scene.seed % (1 << 63)).standard_normal(pixels.shape, dtype=np.float32)
    return Image.fromarray((pixels + _NOISE * noise).clip(0, 255).astype(np.uint8))


def render_seeds(
    seeds: Sequence[int], size: int = 64, kinds: Sequence[str] = KINDS, workers: int = 0
) -> NDArray[np.uint8]:
    """The pictures of many seeds as one array (N, size, size, 3).

    Args:
        seeds: of the scenes.
        size: side in pixels.
        kinds: as in :func:`clipprompt.mini.scenes.sample_scene`.
        workers: processes; 0 draws in this one.
    """
    blocks = [seeds[start : start + 250] for start in range(0, len(seeds), 250)]
    work = partial(_render_block, size=size, kinds=tuple(kinds))
    if workers == 0 or len(blocks) < 2:
        parts = [work(block) for block in blocks]
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            parts = list(pool.map(work, blocks))
    return np.concatenate(parts) if parts else np.zeros((0, size, size, 3), np.uint8)


def _render_block(seeds: Sequence[int], size: int, kinds: tuple[str, ...]) -> NDArray[np.uint8]:
    return np.stack([np.asarray(render_scene(sample_scene(seed, kinds), size)) for seed in seeds])
