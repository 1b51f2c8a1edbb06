from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from clipprompt.inference.heat import heat_overlay


def _opacity(heat: object) -> np.ndarray:
    overlay = heat_overlay(np.asarray(heat, dtype=np.float32))
    assert overlay is not None
    return np.asarray(overlay.convert("RGBA"))[..., 3]


def _peak(heat: np.ndarray, row: int, column: int) -> np.ndarray:
    heat[row, column] = 1
    return heat


@pytest.mark.parametrize(("row", "column"), [(0, 0), (1, 5), (6, 2)])
def test_the_hottest_place_is_the_most_opaque(row: int, column: int) -> None:
    opacity = _opacity(_peak(np.zeros((7, 7)), row, column))
    assert opacity.shape == (28, 28)
    hottest = np.argwhere(opacity == opacity.max()).mean(axis=0) / 4
    assert np.abs(hottest - (row + 0.5, column + 0.5)).max() < 0.6


def test_the_coldest_places_are_clear_and_the_photo_is_never_covered() -> None:
    opacity = _opacity(np.arange(16).reshape(4, 4))
    assert opacity.min() == 0
    assert 100 < opacity.max() < 200


def test_colours_depend_on_order_and_not_on_scale() -> None:
    heat = np.random.default_rng(0).random((4, 6)).astype(np.float32)
    assert (_opacity(heat) == _opacity(heat * 0.01 - 5)).mean() > 0.98  # float rounding may move a shade


def test_rows_stay_rows() -> None:
    heat = np.zeros((3, 9))
    heat[0] = 1
    opacity = _opacity(heat)
    assert opacity.shape == (9, 27)
    assert opacity[0].min() > opacity[-1].max()


def test_a_fine_map_keeps_its_size() -> None:
    assert _opacity(np.eye(40)).shape == (40, 40)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_places_that_are_not_finite_are_cold(bad: float) -> None:
    opacity = _opacity([[bad, 0, 0, 0], [0, 0, 0, 1.0]])
    assert opacity[0, 0] == 0


@pytest.mark.parametrize(
    "heat", [np.full((3, 3), 0.2), np.full((3, 3), np.nan), np.zeros((0, 4)), np.zeros((2, 2)), [[1.0]]]
)
def test_nothing_to_see_is_no_picture(heat: object) -> None:
    assert heat_overlay(np.asarray(heat, dtype=np.float32)) is None


def test_another_number_of_dimensions_is_refused() -> None:
    with pytest.raises(ValueError, match=r"rows and columns, not the shape \(2, 2, 2\)"):
        heat_overlay(np.zeros((2, 2, 2)))


def test_the_file_is_tiny_and_reads_back_with_its_transparency() -> None:
    overlay = heat_overlay(np.random.default_rng(0).random((14, 14)))
    assert overlay is not None
    file = io.BytesIO()
    overlay.save(file, "PNG", optimize=True)
    assert len(file.getvalue()) < 1000
    with Image.open(file) as again:
        assert np.array_equal(np.asarray(again.convert("RGBA")), np.asarray(overlay.convert("RGBA")))
