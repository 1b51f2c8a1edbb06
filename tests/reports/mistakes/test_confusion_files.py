from __future__ import annotations

from pathlib import Path

import pytest

from clipprompt.datasets import open_image
from clipprompt.errors import UserError
from clipprompt.reports.mistakes.confusion_files import write_confusions
from clipprompt.reports.mistakes.confusions import count_confusions
from tests.reports._predictions import CAT_DOG, make_predictions

HOSTILE = "$x_1$ <b>\u202e\n\x1b[31m日本"


def test_csv_has_the_worst_pair_first(tmp_path: Path) -> None:
    write_confusions(count_confusions(make_predictions(*CAT_DOG)), tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_text().splitlines() == [
        "method,dataset,subset,class,predicted,n_images,n_images_of_class,percent",
        "coop,dtd,all,cat,dog,3,4,75.00",
        "coop,dtd,all,dog,cat,1,10,10.00",
    ]


@pytest.mark.parametrize("ending", ["csv", "png", "svg", "pdf"])
def test_any_name_is_written_and_equal_files_are_equal_bytes(tmp_path: Path, ending: str) -> None:
    found = count_confusions(
        make_predictions((HOSTILE, "a"), ("a", HOSTILE), ("", "a"), dataset=HOSTILE, method=HOSTILE)
    )
    for name in ("one", "two"):
        write_confusions(found, tmp_path / f"{name}.{ending}")
    assert (tmp_path / f"one.{ending}").read_bytes() == (tmp_path / f"two.{ending}").read_bytes()
    assert b"\x1b[31m" not in (tmp_path / f"one.{ending}").read_bytes()


@pytest.mark.parametrize(("n_classes", "drawn"), [(2, 2), (50, 50), (51, 30)])
def test_matrices_of_any_size_are_drawn(tmp_path: Path, n_classes: int, drawn: int) -> None:
    names = [f"class {n}" for n in range(n_classes)]
    write_confusions(
        count_confusions(make_predictions(*zip(names, names[1:] + names[:1], strict=True))), tmp_path / "x.png"
    )
    width, _ = open_image(tmp_path / "x.png").size
    assert width == pytest.approx(130 * (3.0 + 0.21 * max(drawn, 6)), abs=2)


def test_all_right_is_a_picture_too(tmp_path: Path) -> None:
    names = [f"class {n}" for n in range(60)]
    write_confusions(count_confusions(make_predictions(*zip(names, names, strict=True))), tmp_path / "x.png")
    assert (tmp_path / "x.png").exists()


@pytest.mark.parametrize(
    ("n_sets", "name", "message"),
    [
        (0, "x.csv", "there are no predictions to count"),
        (1, "x.jpeg", "its ending must be one of csv, png, pdf, svg"),
        (13, "x.png", "13 matrices are too many for a picture"),
    ],
    ids=["no predictions", "ending", "too many"],
)
def test_what_cannot_be_written_is_refused(tmp_path: Path, n_sets: int, name: str, message: str) -> None:
    found = count_confusions([one for k in range(n_sets) for one in make_predictions(("a", "b"), dataset=f"set {k}")])
    with pytest.raises(UserError, match=message):
        write_confusions(found, tmp_path / name)
    assert not list(tmp_path.iterdir())
