"""Predictions of a method on a set, from pairs of class and predicted class."""

from __future__ import annotations

from clipprompt.reports.mistakes.predictions import Prediction


def make_predictions(*pairs: tuple[str, str], dataset: str = "dtd", method: str = "coop") -> list[Prediction]:
    return [
        Prediction(dataset, "all", f"{n}.jpg", None, truth, predicted, 0.5, method)
        for n, (truth, predicted) in enumerate(pairs)
    ]


CAT_DOG = [("cat", "dog")] * 3 + [("cat", "cat")] * 1 + [("dog", "cat")] * 1 + [("dog", "dog")] * 9
