from __future__ import annotations

import random

import pytest

from clipprompt.reports.drawing._labels import HEIGHT, Box, along, around, dot, place_labels

PAPER = Box(0, 0, 4, 3)


def _placed(points: list[tuple[float, float]], width: float = 0.6) -> list[Box]:
    found = place_labels([around(point, width) for point in points], PAPER, [dot(point) for point in points])
    return [one.box for one in found]


def test_name_of_a_lonely_point_stands_to_its_right() -> None:
    (box,) = _placed([(1.0, 1.0)])
    assert box.left > 1.0
    assert box.bottom == pytest.approx(1.0 - HEIGHT / 2)


def test_name_at_the_right_edge_stands_to_the_left() -> None:
    (box,) = _placed([(3.9, 1.0)])
    assert box.left + box.width < 3.9


@pytest.mark.parametrize("seed", range(5))
def test_names_cover_neither_points_nor_each_other(seed: int) -> None:
    draw = random.Random(seed)
    points = [(0.4 + 3.2 * draw.random(), 0.3 + 2.4 * draw.random()) for _ in range(15)]
    boxes = _placed(points)
    pairs = [(one, other) for place, one in enumerate(boxes) for other in boxes[:place]]
    assert all(one.overlap(other) == 0 for one, other in pairs)
    assert all(box.overlap(dot(point)) == 0 for box in boxes for point in points)
    assert all(box.overlap(PAPER) == pytest.approx(box.area) for box in boxes)


def test_equal_points_have_names_apart() -> None:
    boxes = _placed([(2.0, 1.5)] * 4)
    assert len({(box.left, box.bottom) for box in boxes}) == 4
    assert all(one.overlap(other) == 0 for place, one in enumerate(boxes) for other in boxes[:place])


def test_name_of_a_line_stands_above_it_unless_something_is_there() -> None:
    line = Box(0, 0.98, 4, 0.04)
    (free,) = place_labels([along(1.0, 0.6, PAPER)], PAPER, [line])
    assert free.box.bottom > 1.02
    (moved,) = place_labels([along(1.0, 0.6, PAPER)], PAPER, [line, Box(0, 1.02, 4, 1)])
    assert moved.box.bottom + HEIGHT < 0.98
