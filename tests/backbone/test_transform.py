from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from timm.data.transforms_factory import create_transform

from clipprompt.backbone import ImageTransform


def _picture(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def _open_clip(mode: str, size: int = 32) -> ImageTransform:
    return ImageTransform(image_transform_v2(PreprocessCfg(size=size, resize_mode=mode), is_train=False))


@pytest.mark.parametrize("mode", ["shortest", "squash", "longest"])
@pytest.mark.parametrize("size", [(40, 30), (30, 50), (32, 32), (7, 9)])
def test_two_steps_give_the_bits_of_one(mode: str, size: tuple[int, int]) -> None:
    transform, picture = _open_clip(mode), _picture(*size)
    pixels = transform.pixels(picture)
    assert pixels.dtype == torch.uint8
    assert torch.equal(transform.normalise(pixels[None])[0], transform(picture))


@pytest.mark.parametrize("size", [(40, 30), (30, 50), (512, 32)])
def test_one_step_is_open_clips_own(size: tuple[int, int]) -> None:
    whole = image_transform_v2(PreprocessCfg(size=32), is_train=False)
    assert torch.equal(ImageTransform(whole)(_picture(*size)), whole(_picture(*size)))


@pytest.mark.parametrize("size", [(1, 100_000), (100_000, 1)])
def test_an_endless_strip_is_not_blown_up(size: tuple[int, int]) -> None:
    assert _open_clip("shortest").pixels(Image.new("RGB", size)).shape == (3, 32, 32)


def test_a_callable_of_another_make_is_left_whole() -> None:
    transform = ImageTransform(lambda image: torch.full((3, 4, 4), float(image.width)))
    pixels = transform.pixels(_picture(5, 5))
    assert pixels.dtype == torch.float32
    assert torch.equal(transform.normalise(pixels[None])[0], transform(_picture(5, 5)))
    assert transform.view((5, 5)) is None


@pytest.mark.parametrize(
    ("mode", "size", "expected"),
    [
        ("shortest", (40, 40), (0.0, 0.0, 1.0, 1.0)),
        ("shortest", (80, 40), (0.25, 0.0, 0.5, 1.0)),
        ("shortest", (40, 160), (0.0, 0.375, 1.0, 0.25)),
        ("squash", (80, 40), (0.0, 0.0, 1.0, 1.0)),
        ("longest", (80, 40), None),
    ],
)
def test_the_view_is_what_the_crop_leaves(
    mode: str, size: tuple[int, int], expected: tuple[float, float, float, float] | None
) -> None:
    assert _open_clip(mode).view(size) == expected


def _timm(**options: Any) -> ImageTransform:
    return ImageTransform(create_transform((3, 32, 32), crop_pct=0.8, interpolation="bicubic", **options))


@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize("size", [(40, 30), (30, 50), (32, 32)])
def test_timms_two_steps_give_the_bits_of_one(mode: str, size: tuple[int, int]) -> None:
    transform, picture = _timm(crop_mode=mode), _picture(*size)
    assert torch.equal(transform.normalise(transform.pixels(picture)[None])[0], transform(picture))


def test_a_picture_of_the_crops_size_keeps_its_edges_and_another_loses_them() -> None:
    transform, whole = _timm(), create_transform((3, 32, 32), crop_pct=0.8, interpolation="bicubic")
    exact, larger = _picture(32, 32), _picture(48, 40)
    assert torch.equal(transform.pixels(exact), torch.from_numpy(np.array(exact)).permute(2, 0, 1))
    assert torch.equal(transform(larger), whole(larger))
    assert transform.pixels(larger).shape == (3, 32, 32)


@pytest.mark.parametrize(
    ("mode", "size", "expected"),
    [
        ("center", (32, 32), (0.0, 0.0, 1.0, 1.0)),
        ("center", (40, 40), (0.1, 0.1, 0.8, 0.8)),
        ("center", (80, 40), (0.3, 0.1, 0.4, 0.8)),
        ("squash", (80, 40), (0.1, 0.1, 0.8, 0.8)),
        ("border", (80, 40), None),
    ],
)
def test_the_view_of_timms_crop(mode: str, size: tuple[int, int], expected: tuple[float, ...] | None) -> None:
    view = _timm(crop_mode=mode).view(size)
    assert view == (None if expected is None else pytest.approx(expected))
