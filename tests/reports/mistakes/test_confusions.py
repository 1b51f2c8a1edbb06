from __future__ import annotations

import numpy as np

from clipprompt.reports.mistakes.confusions import Evaluated, count_confusions
from tests.reports._predictions import CAT_DOG, make_predictions


def test_pictures_are_counted_by_class_and_by_what_they_were_taken_for() -> None:
    (confusions,) = count_confusions(make_predictions(*CAT_DOG)).values()
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
        count_confusions(make_predictions(*order))[Evaluated("coop", "dtd", "all")] for order in (pairs, pairs[::-1])
    )
    assert there.pairs() == back.pairs()


def test_methods_sets_and_subsets_are_counted_apart() -> None:
    mixed = [
        *make_predictions(("a", "b")),
        *make_predictions(("a", "b"), method="maple"),
        *make_predictions(("a", "b"), dataset="x"),
    ]
    assert [str(tested) for tested in count_confusions(mixed)] == ["coop on dtd", "maple on dtd", "coop on x"]
    assert str(Evaluated("", "dtd", "novel")) == "dtd, novel classes"


def test_a_class_that_was_predicted_and_never_tested_has_a_row_of_zeros() -> None:
    (confusions,) = count_confusions(make_predictions(("cat", "dog"))).values()
    np.testing.assert_array_equal(confusions.matrix(["cat", "dog"]), [[0, 1], [0, 0]])


def test_of_many_classes_the_most_confused_are_drawn() -> None:
    names = [f"class {n:03}" for n in range(200)]
    pairs = [*((name, name) for name in names), *[(names[150], names[7])] * 5, *[(names[3], names[9])] * 4]
    (confusions,) = count_confusions(make_predictions(*pairs)).values()
    assert confusions.most_confused(30) == [names[index] for index in (3, 7, 9, 150)]
    assert confusions.most_confused(2) == [names[7], names[150]]
