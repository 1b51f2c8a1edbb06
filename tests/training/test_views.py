from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from clipprompt.training.views import draw_box, draw_view

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))


def view(*numbers: int) -> bytes:
    seed, epoch, sample = numbers
    return draw_view(PICTURE, (24, 32), seed, epoch, sample).tobytes()


def boxes(size: tuple[int, int], n: int = 500) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array([draw_box(size, np.random.default_rng(seed)) for seed in range(n)])


def test_a_view_has_the_asked_size() -> None:
    assert draw_view(PICTURE, (24, 32), 1, 2, 3).size == (32, 24)


def test_a_view_depends_on_seed_epoch_and_sample_alone() -> None:
    assert view(1, 2, 3) == view(1, 2, 3)
    assert len({view(1, 2, 3), view(4, 2, 3), view(1, 4, 3), view(1, 2, 4)}) == 4


def test_no_global_generator_is_asked_or_moved() -> None:
    random.seed(9)
    torch.manual_seed(9)
    first = view(1, 2, 3)
    random.seed(8)
    torch.manual_seed(8)
    before = random.getstate(), torch.get_rng_state()
    assert view(1, 2, 3) == first
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (500, 375), (64, 64)])
def test_boxes_have_the_published_areas_and_ratios(size: tuple[int, int]) -> None:
    top, left, height, width = boxes(size).T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + height <= size[1]).all()
    assert (left + width <= size[0]).all()
    areas, ratios = height * width / (size[0] * size[1]), width / height
    slack = 2 / min(size) + 1 / height.min()  # sides are whole pixels
    assert areas.min() >= 0.08 * (1 - slack)
    assert (ratios.min() >= 0.75 * (1 - slack), ratios.max() <= 4 / 3 * (1 + slack)) == (True, True)
    assert (areas.min() < 0.12, areas.max() > 0.85, ratios.min() < 0.8, ratios.max() > 1.28) == (True,) * 4


def test_places_are_even() -> None:
    top, left, height, width = boxes((300, 200)).T
    assert abs(np.mean(top / (200 - height + 1e-9)) - 0.5) < 0.05
    assert abs(np.mean(left / (300 - width + 1e-9)) - 0.5) < 0.05


def test_ratios_are_even_in_their_logarithm() -> None:
    _, _, height, width = boxes((1000, 1000), 2000).T
    small = height * width < 400_000  # those that fit in whatever their ratio
    assert abs(np.log(width[small] / height[small]).mean()) < 0.02


@pytest.mark.parametrize(
    ("size", "box"), [((1, 1), (0, 0, 1, 1)), ((1000, 30), (0, 480, 30, 40)), ((30, 1000), (480, 0, 40, 30))]
)
def test_of_a_picture_that_no_box_fits_the_middle_is_taken(size: tuple[int, int], box: tuple[int, ...]) -> None:
    assert box in {tuple(one) for one in boxes(size, 200).tolist()}


def test_half_of_the_views_are_mirrored() -> None:
    ramp = Image.fromarray(np.tile(np.arange(64, dtype=np.uint8)[None, :, None] * 4, (64, 1, 3)))
    views = [np.asarray(draw_view(ramp, (16, 16), 1, 0, sample), dtype=int) for sample in range(400)]
    mirrored = sum(bool(one[:, 0].mean() > one[:, -1].mean()) for one in views)
    assert 170 <= mirrored <= 230


@pytest.mark.parametrize("seed", range(3))
def test_an_unmirrored_view_is_the_resized_box(seed: int) -> None:
    plain, sample = None, 0
    while plain is None:
        random = np.random.default_rng([seed, 0x71E35, 0, sample])
        top, left, height, width = draw_box(PICTURE.size, random)
        if random.random() >= 0.5:
            crop = PICTURE.crop((left, top, left + width, top + height))
            plain = crop.resize((32, 24), Image.Resampling.BICUBIC)
        else:
            sample += 1
    assert draw_view(PICTURE, (24, 32), seed, 0, sample).tobytes() == plain.tobytes()
