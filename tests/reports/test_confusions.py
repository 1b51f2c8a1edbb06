from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clipprompt.datasets import open_image
from clipprompt.errors import UserError
from clipprompt.reports.confusions import Evaluated, count_confusions, write_confusions
from clipprompt.reports.predictions import Prediction

HOSTILE = "$x_1$ <b>\u202e\n\x1b[31m日本"


def _predictions(*pairs: tuple[str, str], dataset: str = "dtd", method: str = "coop") -> list[Prediction]:
    return [
        Prediction(dataset, "all", f"{n}.jpg", None, truth, predicted, 0.5, method)
        for n, (truth, predicted) in enumerate(pairs)
    ]


CAT_DOG = [("cat", "dog")] * 3 + [("cat", "cat")] * 1 + [("dog", "cat")] * 1 + [("dog", "dog")] * 9


def test_pictures_are_counted_by_class_and_by_what_they_were_taken_for() -> None:
    (confusions,) = count_confusions(_predictions(*CAT_DOG)).values()
    assert confusions.classnames == ["cat", "dog"]
    np.testing.assert_allclose(confusions.matrix(["cat", "dog"]), [[0.25, 0.75], [0.1, 0.9]])
    assert [(pair.truth, pair.predicted, pair.n_images, pair.n_of_class) for pair in confusions.pairs()] == [
        ("cat", "dog", 3, 4),
        ("dog", "cat", 1, 10),
    ]
    assert confusions.pairs()[0].share == 0.75
    assert len(confusions.pairs(1)) == 1


def test_the_order_of_predictions_does_not_matter() -> None:
    pairs = [("a", "b"), ("b", "a"), ("c", "a"), ("a", "c"), ("c", "c")]
    there, back = (
        count_confusions(_predictions(*order))[Evaluated("coop", "dtd", "all")] for order in (pairs, pairs[::-1])
    )
    assert there.pairs() == back.pairs()


def test_methods_sets_and_subsets_are_counted_apart() -> None:
    mixed = [
        *_predictions(("a", "b")),
        *_predictions(("a", "b"), method="maple"),
        *_predictions(("a", "b"), dataset="x"),
    ]
    assert [str(tested) for tested in count_confusions(mixed)] == ["coop on dtd", "maple on dtd", "coop on x"]
    assert str(Evaluated("", "dtd", "novel")) == "dtd, novel classes"


def test_a_class_that_was_predicted_and_never_tested_has_a_row_of_zeros() -> None:
    (confusions,) = count_confusions(_predictions(("cat", "dog"))).values()
    np.testing.assert_array_equal(confusions.matrix(["cat", "dog"]), [[0, 1], [0, 0]])


def test_csv_has_the_worst_pair_first(tmp_path: Path) -> None:
    write_confusions(count_confusions(_predictions(*CAT_DOG)), tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_text().splitlines() == [
        "method,dataset,subset,class,predicted,n_images,n_images_of_class,percent",
        "coop,dtd,all,cat,dog,3,4,75.00",
        "coop,dtd,all,dog,cat,1,10,10.00",
    ]


@pytest.mark.parametrize("ending", ["csv", "png", "svg", "pdf"])
def test_any_name_is_written_and_equal_files_are_equal_bytes(tmp_path: Path, ending: str) -> None:
    found = count_confusions(_predictions((HOSTILE, "a"), ("a", HOSTILE), ("", "a"), dataset=HOSTILE, method=HOSTILE))
    for name in ("one", "two"):
        write_confusions(found, tmp_path / f"{name}.{ending}")
    assert (tmp_path / f"one.{ending}").read_bytes() == (tmp_path / f"two.{ending}").read_bytes()
    assert b"\x1b[31m" not in (tmp_path / f"one.{ending}").read_bytes()


def test_of_many_classes_the_most_confused_are_drawn() -> None:
    names = [f"class {n:03}" for n in range(200)]
    pairs = [*((name, name) for name in names), *[(names[150], names[7])] * 5, *[(names[3], names[9])] * 4]
    (confusions,) = count_confusions(_predictions(*pairs)).values()
    assert confusions.most_confused(30) == [names[index] for index in (3, 7, 9, 150)]
    assert confusions.most_confused(2) == [names[7], names[150]]


@pytest.mark.parametrize(("n_classes", "drawn"), [(2, 2), (50, 50), (51, 30)])
def test_matrices_of_any_size_are_drawn(tmp_path: Path, n_classes: int, drawn: int) -> None:
    names = [f"class {n}" for n in range(n_classes)]
    write_confusions(
        count_confusions(_predictions(*zip(names, names[1:] + names[:1], strict=True))), tmp_path / "x.png"
    )
    width, _ = open_image(tmp_path / "x.png").size
    assert width == pytest.approx(130 * (3.0 + 0.21 * max(drawn, 6)), abs=2)


def test_all_right_is_a_picture_too(tmp_path: Path) -> None:
    names = [f"class {n}" for n in range(60)]
    write_confusions(count_confusions(_predictions(*zip(names, names, strict=True))), tmp_path / "x.png")
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
    found = count_confusions([one for k in range(n_sets) for one in _predictions(("a", "b"), dataset=f"set {k}")])
    with pytest.raises(UserError, match=message):
        write_confusions(found, tmp_path / name)
    assert not list(tmp_path.iterdir())
