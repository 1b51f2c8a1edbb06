from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from clipprompt.datasets import open_image
from clipprompt.errors import UserError
from clipprompt.reports.multilabel.plots import plot_average_precision, plot_tagged_images
from tests.reports.conftest import Make

LABELS = ["cat", "dog", "a class with a very long name indeed", "costs $5 or $6"]


def tagged(path: Path, n: int = 2, **changes: object) -> None:
    rng = np.random.default_rng(0)
    arguments = {
        "images": [Image.new("RGB", (40 + 20 * index, 50), "teal") for index in range(n)],
        "labels": LABELS,
        "scores": rng.normal(size=(n, 4)),
        "truths": np.array([[1, 0, -1, 1], [0, 0, 0, 0]] * 3)[:n],
    }
    plot_tagged_images(**(arguments | changes), path=path, n_labels=3, title="$ and _")  # type: ignore[arg-type]


def n_pixels(path: Path, colour: tuple[int, int, int]) -> int:
    """How many pixels of the picture have exactly this colour."""
    return int((np.asarray(open_image(path)) == colour).all(axis=-1).sum())


@pytest.mark.parametrize(("n", "columns"), [(1, 1), (2, 2), (6, 3)])
def test_grid_holds_every_picture(tmp_path: Path, n: int, columns: int) -> None:
    tagged(tmp_path / "six.png", n)
    width, height = open_image(tmp_path / "six.png").size
    assert n_pixels(tmp_path / "six.png", (0, 128, 128)) > 10_000 * n
    assert width == pytest.approx(130 * (0.7 + 4.0 * columns - 0.4), abs=2)
    assert (height > width) == (columns == 1)


def test_true_labels_are_blue_and_others_are_not(tmp_path: Path) -> None:
    blue = (0x00, 0x72, 0xB2)
    tagged(tmp_path / "none.png", truths=np.zeros((2, 4)))
    tagged(tmp_path / "all.png", truths=np.ones((2, 4)))
    swatch = n_pixels(tmp_path / "none.png", blue)  # the legend always shows the colour
    assert n_pixels(tmp_path / "all.png", blue) > 5 * swatch > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": np.zeros((2, 3))}, "must both be"),
        ({"truths": np.zeros((1, 4))}, "must both be"),
        ({"images": []}, "must both be"),
        ({"scores": np.full((2, 4), np.nan)}, "not finite"),
    ],
)
def test_picture_that_cannot_be_right_is_not_drawn(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        tagged(tmp_path / "x.png", **changes)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("scores", [np.zeros((2, 4)), np.full((2, 4), -3.0)])
def test_equal_scores_are_drawn(tmp_path: Path, scores: np.ndarray) -> None:
    tagged(tmp_path / "x.png", scores=scores)
    assert open_image(tmp_path / "x.png").size[0] > 500


@pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_ending_chooses_the_format(tmp_path: Path, make_record: Make, ending: str, start: bytes) -> None:
    path = tmp_path / f"ap.{ending}"
    plot_average_precision([make_record("zero-shot $5_x", 0.3), make_record(), make_record(seed=2)], path)
    assert path.read_bytes().startswith(start)


@pytest.mark.parametrize(("n_classes", "is_wide"), [(2, True), (40, False), (46, True), (200, True)])
def test_many_classes_go_into_columns(tmp_path: Path, make_record: Make, n_classes: int, is_wide: bool) -> None:
    classes = {"classnames": [f"class {index}" for index in range(n_classes)]}
    values = {"average_precision": [None, *np.linspace(0, 1, n_classes - 1).tolist()]}
    plot_average_precision(
        [make_record("other", **classes, **values), make_record(**classes, **values)], tmp_path / "ap.png"
    )
    width, height = open_image(tmp_path / "ap.png").size
    assert (width > height) == is_wide


@pytest.mark.parametrize("name", ["ap.jpeg", "ap", "ap.pgn"])
def test_unknown_ending_is_refused(tmp_path: Path, make_record: Make, name: str) -> None:
    with pytest.raises(UserError, match="its ending must be one of png, pdf, svg"):
        plot_average_precision([make_record()], tmp_path / name)


def test_records_of_two_class_lists_are_refused(tmp_path: Path, make_record: Make) -> None:
    with pytest.raises(UserError, match="one class list"):
        plot_average_precision([make_record(), make_record(class_hash="x")], tmp_path / "ap.png")


def test_settings_of_matplotlib_stay_as_they_are(tmp_path: Path, make_record: Make) -> None:
    before = dict(mpl.rcParams)
    tagged(tmp_path / "x.png")
    plot_average_precision([make_record()], tmp_path / "ap.png")
    assert dict(mpl.rcParams) == before


def test_pyplot_is_never_imported(tmp_path: Path) -> None:
    code = f"""
import sys, numpy as np
from PIL import Image
from clipprompt.reports.multilabel.plots import plot_tagged_images
assert "matplotlib" not in sys.modules, "imported before it is needed"
plot_tagged_images([Image.new("RGB", (9, 9))], ["a"], np.ones((1, 1)), np.ones((1, 1)), {str(tmp_path / "x.png")!r})
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("ending", ["svg", "pdf", "png"])
def test_equal_pictures_are_equal_bytes(tmp_path: Path, make_record: Make, ending: str) -> None:
    for name in ("one", "two"):
        plot_average_precision([make_record()], tmp_path / f"{name}.{ending}")
    assert (tmp_path / f"one.{ending}").read_bytes() == (tmp_path / f"two.{ending}").read_bytes()
